# SPDX-License-Identifier: Apache-2.0
"""By when was each message there? A timestamp shows it of a message, and of every earlier one that it names by digest.

From the Envelope on, each carries SHA-384 over the four that opened the session; Prepared names Envelope and Transfer,
Release those and Prepared, Receipt those and Release, a Closure after a removal the Receipt. What was there at a time
has the digests of what it names in it, and no digest is made before what it is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sv2m import protocol
from sv2m.protocol.session import OPENING
from sv2m.protocol.transcript import Transcript

#: Envelope, Transfer and Closure name only the session; what a Closure names beside it depends on its outcome.
_NAMED: Mapping[str, tuple[str, ...]] = {
    "TokenAB": ("Offer",),
    "TokenBA2": ("Offer",),
    "Envelope": OPENING,
    "Transfer": OPENING,
    "Prepared": (*OPENING, "Envelope", "Transfer"),
    "Release": (*OPENING, "Envelope", "Transfer", "Prepared"),
    "Receipt": (*OPENING, "Envelope", "Transfer", "Release"),
    "Closure": OPENING,
}


def proved(transcript: Transcript, stamps: Mapping[str, datetime]) -> dict[str, datetime]:
    """The earliest time at which each message is proved to have been there; those of which it is not are left out.

    :param transcript: messages that fit each other: each really has the digests of those that it names.
    :param stamps: the time of each message's own timestamp, by kind, UTC.
    """
    found = {kind: at for kind, at in stamps.items() if kind in transcript}
    # From the last to the first: whatever names a message, directly or through others, comes after it.
    for kind in reversed(list(protocol.KINDS)):
        if kind in found:
            for named in _names(transcript, kind):
                if named in transcript:
                    found[named] = min(found.get(named, found[kind]), found[kind])
    return found


def _names(transcript: Transcript, kind: str) -> tuple[str, ...]:
    if kind == "Closure" and transcript.message(protocol.Closure).outcome == "removed":
        return (*_NAMED[kind], "Receipt")
    return _NAMED.get(kind, ())
