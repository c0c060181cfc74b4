# SPDX-License-Identifier: Apache-2.0
"""The clouds' volumes on file systems that a test may fill without harming the machine."""

from __future__ import annotations

from pathlib import Path

from lab import namespace
from lab.session import CloudSession, LabSession

SIZE = "3g"


def share(session: CloudSession) -> Path:
    """Where Cinder keeps this cloud's volumes. Only processes of the cloud see what is in there once it is bound."""
    return session.cloud.directory / "cinder" / "share"


def bound(session: CloudSession) -> bool:
    """Whether this cloud's volumes have a file system of their own."""
    return _is_own(session, share(session))


def bind(lab: LabSession) -> None:
    """Give both clouds such file systems, unless they have; there may be no volume yet.

    The mounts exist in the clouds' namespaces and end with them.
    """
    for session in (lab.cloud(name) for name in lab.lab.clouds):
        if bound(session):
            continue
        session.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(share(session))])
        for point in _mounts(session):
            # Cinder's and Nova's mount of the share still shows what is hidden now.
            session.run(["umount", point])
            session.run(["mount", "--bind", str(share(session)), point])


def _is_own(session: CloudSession, store: Path) -> bool:
    return any(line[4] == str(store) and "tmpfs" in line for line in _mountinfo(session))


def _mounts(session: CloudSession) -> list[str]:
    below = (str(session.cloud.directory / "cinder" / "mnt"), str(session.cloud.directory / "nova" / "mnt"))
    return [line[4] for line in _mountinfo(session) if line[4].startswith(below)]


def _mountinfo(session: CloudSession) -> list[list[str]]:
    anchor = namespace.anchor(session.cloud)
    return [line.split() for line in Path(f"/proc/{anchor.pid}/mountinfo").read_text().splitlines()]
