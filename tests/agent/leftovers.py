# SPDX-License-Identifier: Apache-2.0
"""What a migration may not leave behind on a host."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import libvirt_qemu


def ask(domain: Any, command: str, **arguments: Any) -> Any:
    request = json.dumps({"execute": command, "arguments": arguments})
    return json.loads(libvirt_qemu.qemuMonitorCommand(domain, request, 0))["return"]


def leftovers(domain: Any, states: Iterable[Path]) -> list[str]:
    """Everything of a migration, in the source's QEMU and on both hosts."""
    return in_qemu(domain) + [left for state in states for left in on_host(state)]


def in_qemu(domain: Any) -> list[str]:
    """Bitmaps, exports, and a bandwidth that was not given back."""
    found = [
        f"bitmap {bitmap['name']}"
        for node in ask(domain, "query-named-block-nodes", flat=True)
        for bitmap in node.get("dirty-bitmaps", ())
    ]
    found += [f"export {export['id']}" for export in ask(domain, "query-block-exports")]
    if ask(domain, "query-migrate-parameters")["max-bandwidth"] > 1 << 40:
        found.append("bandwidth")
    return found


def on_host(state: Path) -> list[str]:
    """Files in an agent's directory, and processes that use them."""
    found = [f"file {path}" for path in state.rglob("*") if path.name not in ("jobs", "work")]
    return found + [f"process {name}" for name in _processes(state)]


def _processes(state: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except (FileNotFoundError, ProcessLookupError):
            continue
        if command.startswith(b"qemu-nbd") and str(state).encode() in command:
            found.append(command.decode(errors="replace").replace("\0", " "))
    return found


def secrets_in_processes(secrets: Iterable[str]) -> list[str]:
    """Processes that show a secret in their arguments or environment."""
    wanted = [secret.encode() for secret in secrets]
    found = []
    for entry in Path("/proc").iterdir():
        try:
            shown = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if any(secret in shown for secret in wanted):
            found.append(entry.name)
    return found
