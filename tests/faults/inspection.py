# SPDX-License-Identifier: Apache-2.0
"""What a case may not leave behind, on either side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.guests import TimedOutError, until
from lab.namespace import members
from tests.cloud.world import Side, World
from tests.faults import disks
from tests.faults.striking import qemu
from tests.faults.travellers import Stable

#: Seconds that Nova, Cinder and Placement get to tidy up after they have answered.
PATIENCE = 60.0
#: What nobody owns, not even a traveller at the side where it is: it would be a leftover at its own key or domain.
NOBODYS = ("readers of keys", "saved states")


class Inspection:
    """Compares with how the clouds stood before the first case, but for what the travellers own."""

    def __init__(self, world: World, stable: Stable) -> None:
        self._world = world
        self._stable = stable
        self._before = {side.name: inventory(side) for side in (world.a, world.b)}

    def leftovers(self) -> list[str]:
        """What should not be there, after a moment's patience."""
        found: list[str] = []

        def look() -> bool | None:
            found[:] = self._leftovers()
            return None if found else True

        try:
            until(look, "nothing is left", PATIENCE, pause=0.5)
        except TimedOutError:
            return found
        return []

    def _leftovers(self) -> Iterator[str]:
        owned = self._stable.owned()
        servers = self._stable.servers()
        for side in (self._world.a, self._world.b):
            # What a travelling server owns at one side is a leftover if it is found at the other.
            here = owned - {one for name, there in servers.items() if name != side.name for one in there}
            for kind, now in inventory(side).items():
                new = now - self._before[side.name].get(kind, set())
                own = set() if kind in NOBODYS else here
                yield from (f"{side.name}: {kind}: {one}" for one in sorted(new) if not any(id in one for id in own))
            for server in servers[side.name]:
                yield from (f"{side.name}: {left}" for left in in_qemu(side, server))


def inventory(side: Side) -> dict[str, set[str]]:
    """All that a migration could leave behind, by kind."""
    cloud, run = side.session.cloud, side.session.run
    project = side.manager.call("GET", "barbican", "/secrets?limit=100")["secrets"]
    return {
        **side.inventory(),
        "project's secrets": {one["secret_ref"] for one in project},
        "readers of keys": {
            f"{one['secret_ref']} {user}"
            for one in project
            for user in side.manager.call("GET", "barbican", f"/secrets/{one['secret_ref'].rsplit('/', 1)[-1]}/acl")
            .get("read", {})
            .get("users", ())
        },
        "saved states": set(run(["virsh", "list", "--all", "--uuid", "--with-managed-save"]).stdout.split())
        | _names(cloud.directory / "libvirt" / "lib" / "qemu" / "save"),
        # Nova's cache of images and its locks stay.
        "Nova's files": _names(cloud.directory / "nova" / "instances") - {"_base", "locks", "compute_nodes"},
        "Cinder's files": set(run(["ls", "-A", str(disks.share(side.session))]).stdout.split()),
        "QEMUs": _qemus(side),
    }


def in_qemu(side: Side, server: str) -> Iterator[str]:
    """What a migration leaves in the source's QEMU: bitmaps, exports, a bandwidth that was not given back."""
    if side.session.run(["virsh", "domstate", server], check=False).stdout.strip() not in ("running", "paused"):
        return
    for node in _ask(side, server, "query-named-block-nodes", flat=True):
        yield from (f"bitmap {one['name']} in QEMU of {server}" for one in node.get("dirty-bitmaps", ()))
    yield from (f"export {one['id']} in QEMU of {server}" for one in _ask(side, server, "query-block-exports"))
    if _ask(side, server, "query-migrate-parameters")["max-bandwidth"] > 1 << 40:
        yield f"bandwidth of a migration in QEMU of {server}"


def _ask(side: Side, server: str, command: str, **arguments: Any) -> Any:
    request = json.dumps({"execute": command, "arguments": arguments})
    return json.loads(side.session.run(["virsh", "qemu-monitor-command", server, request]).stdout)["return"]


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} if directory.is_dir() else set()


def _qemus(side: Side) -> set[str]:
    """QEMU processes that belong to no domain; those of domains are found by their domain."""
    cloud = side.session.cloud
    names = side.session.run(["virsh", "list", "--name"]).stdout.split()
    known = {process.pid for name in names if (process := qemu(cloud, name)) is not None}
    return {
        f"process {process.pid}"
        for process in members(cloud)
        if process.pid not in known and _command(process.pid) in ("qemu-system-x86", "qemu-nbd", "qemu-img")
    }


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
