# SPDX-License-Identifier: Apache-2.0
"""QEMU's settings for migrations: whatever a job changes is noted as it was found, and set back.

They outlive an attempt, in a QEMU that goes on for years, and libvirt's own migrations would go by them. The note is a
file in the job's directory, written before the first change, so that a restarted agent sets back what the killed one
changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sv2m.agent import private
from sv2m.agent.libvirt import monitor

#: File in a job's directory: parameters of QEMU as they were found, by QMP's names.
_NOTE = "qemu-parameters"


def change(domain: Any, workdir: Path, **parameters: Any) -> None:
    """Set parameters of QEMU's migration (``migrate-set-parameters``); underscores stand for QMP's hyphens.

    What was noted before is not noted anew: the first value found is the one that is set back.

    :raises HypervisorError: QEMU refuses, or does not know one of them.
    """
    found = monitor.command(domain, "query-migrate-parameters")
    names = [name.replace("_", "-") for name in parameters]
    noted = {**{name: found[name] for name in names if name in found}, **_read(workdir)}
    new = workdir / f"{_NOTE}.new"
    with private.create(new) as file:
        json.dump(noted, file)
    new.replace(workdir / _NOTE)
    monitor.command(domain, "migrate-set-parameters", **parameters)


def are_changed(workdir: Path) -> bool:
    """Whether there is something to set back."""
    return (workdir / _NOTE).exists()


def restore(domain: Any, workdir: Path) -> None:
    """Set back what :func:`change` found. May be repeated; nothing to do if it changed nothing."""
    noted = _read(workdir)
    if noted:
        monitor.command(domain, "migrate-set-parameters", **noted)
    (workdir / _NOTE).unlink(missing_ok=True)


def _read(workdir: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((workdir / _NOTE).read_text()))
    except (FileNotFoundError, ValueError):
        return {}
