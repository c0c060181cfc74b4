# SPDX-License-Identifier: Apache-2.0
"""Files that options name. A key that is in one does not leave this machine, nor does any message quote it."""

from __future__ import annotations

from pathlib import Path

from osc_lib import exceptions

from sv2m.cli.faults import told
from sv2m.evidence import pem
from sv2m.evidence.path import check_anchors


def named(path: str) -> str:
    """A path, for a message; or that it is none: somebody gave the file's content in its place."""
    return path if path.isprintable() and "-----" not in path else "(not the path of a file)"


def read(option: str, path: str, limit: int) -> bytes:
    """The content of a file.

    :param option: which named it, for the message.
    :param limit: bytes; one more is read, so that a file that never ends does no harm.
    :raises osc_lib.exceptions.CommandError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        # A path with a NUL is a ValueError; neither's own words are shown: they quote the path.
        why = (error.strerror if isinstance(error, OSError) else None) or "it is no path"
        raise exceptions.CommandError(f"{option} {named(path)}: {why}") from None


def certificates(option: str, path: str) -> pem.Certificates:
    """The certificates that a PEM file consists of.

    :param option: which named it, for the message.
    :raises osc_lib.exceptions.CommandError: it cannot be read, or holds something else.
    """
    with told():
        return pem.certificates(read(option, path, pem.MAX_BYTES), f"{option} {named(path)}")


def anchors(option: str, path: str) -> pem.Certificates:
    """The certificates of a PEM file that are to be trusted for evidence: CAs', and no others.

    :raises osc_lib.exceptions.CommandError: it cannot be read, or holds something else.
    """
    found = certificates(option, path)
    with told():
        check_anchors(found, f"{option} {named(path)}")
    return found
