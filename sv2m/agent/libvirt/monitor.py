# SPDX-License-Identifier: Apache-2.0
"""Commands to QEMU's monitor, through libvirt, which stays the only one that is connected to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import libvirt
import libvirt_qemu

from sv2m.errors import HypervisorError


def command(domain: Any, name: str, /, *, files: Sequence[int] = (), **arguments: Any) -> Any:
    """Run one QMP command on a running domain and return its ``return`` member.

    :param files: file descriptors that travel with the command (``getfd``); the caller still owns its copies.
    :param arguments: the command's arguments; underscores in names stand for QMP's hyphens.
    :raises HypervisorError: libvirt could not ask, or QEMU refused.
    """
    request: dict[str, Any] = {"execute": name}
    if arguments:
        request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
    try:
        if files:
            text, _ = libvirt_qemu.qemuMonitorCommandWithFiles(domain, json.dumps(request), list(files), 0)
        else:
            text = libvirt_qemu.qemuMonitorCommand(domain, json.dumps(request), 0)
    except libvirt.libvirtError as error:
        raise HypervisorError(f"QEMU's monitor: {name}: {error.get_error_message()}") from error
    answer = json.loads(text)
    if "error" in answer:
        raise HypervisorError(f"QEMU refused {name}: {answer['error'].get('desc', answer['error'])}")
    return answer.get("return")
