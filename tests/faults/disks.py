# SPDX-License-Identifier: Apache-2.0
"""The clouds' volumes on file systems that a test may fill without harming the machine."""

from __future__ import annotations

from pathlib import Path

from lab import namespace
from tests.cloud.world import Side, World

SIZE = "6g"


def share(side: Side) -> Path:
    """Where Cinder keeps this cloud's volumes. Only processes of the cloud see what is in there once it is bound."""
    return side.session.cloud.directory / "cinder" / "share"


def bound(side: Side) -> bool:
    """Whether this cloud's volumes have a file system of their own."""
    return _is_own(side, share(side))


def bind(world: World) -> None:
    """Give both clouds such file systems, unless they have; there may be no volume yet.

    The mounts exist in the clouds' namespaces and end with them.
    """
    for side in (world.a, world.b):
        if bound(side):
            continue
        side.session.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(share(side))])
        for point in _mounts(side):
            # Cinder's and Nova's mount of the share still shows what is hidden now.
            side.session.run(["umount", point])
            side.session.run(["mount", "--bind", str(share(side)), point])


def _is_own(side: Side, store: Path) -> bool:
    return any(line[4] == str(store) and "tmpfs" in line for line in _mountinfo(side))


def _mounts(side: Side) -> list[str]:
    below = (str(side.session.cloud.directory / "cinder" / "mnt"), str(side.session.cloud.directory / "nova" / "mnt"))
    return [line[4] for line in _mountinfo(side) if line[4].startswith(below)]


def _mountinfo(side: Side) -> list[list[str]]:
    anchor = namespace.anchor(side.session.cloud)
    return [line.split() for line in Path(f"/proc/{anchor.pid}/mountinfo").read_text().splitlines()]
