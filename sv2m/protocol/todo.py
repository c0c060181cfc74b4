# SPDX-License-Identifier: Apache-2.0
"""What is to be done in a phase, besides sending and waiting. It follows from the phase and what was said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sv2m.protocol import actions as a
from sv2m.protocol.messages import Accepted, Envelope, Offer, TokenBA2, Transfer
from sv2m.protocol.states import DESTINATION_ROLE, SOURCE_ROLE
from sv2m.protocol.transcript import Transcript


def todo(role: str, phase: str, transcript: Transcript) -> list[a.Action]:
    """The actions of a phase; none where the next word is the peer's."""
    make = _BY_PHASE[role].get(phase)
    return [] if make is None else make(transcript)


def _make_nonce(transcript: Transcript) -> list[a.Action]:
    return [a.MakeNonce()] if "TokenBA1" in transcript else []


def _make_challenge(transcript: Transcript) -> list[a.Action]:
    return [a.MakeChallenge()] if "Offer" in transcript else []


def _wrap_keys(transcript: Transcript) -> list[a.Action]:
    return [a.WrapKeys(_accepted(transcript).ephemeral_key, transcript.context_digest)]


def _seal(transcript: Transcript) -> list[a.Action]:
    accepted = _accepted(transcript)
    return [
        a.SealVM(accepted.endpoint_host, accepted.endpoint_port, transcript.message(Envelope).streams),
    ]


def _receiving(transcript: Transcript) -> list[a.Action]:
    return [a.Acknowledge("Envelope")]


def _undoing(transcript: Transcript) -> list[a.Action]:
    return [a.Undo()]


def _accepted(transcript: Transcript) -> Accepted:
    decision = transcript.message(TokenBA2).decision
    if not isinstance(decision, Accepted):
        raise TypeError("a refused migration has no endpoint")
    return decision


_BY_PHASE: Final[dict[str, dict[str, Callable[[Transcript], list[a.Action]]]]] = {
    SOURCE_ROLE: {
        "offered": _make_nonce,
        "accepted": _wrap_keys,
        "transferring": _seal,
        "prepared": lambda _: [a.Commit()],
        "receipted": lambda _: [a.RemoveVM()],
        "returning": lambda _: [a.ReturnVM()],
        "reclaiming": lambda _: [a.ReclaimVM()],
        "relinquishing": lambda _: [a.RelinquishVM()],
        "withdrawing": _undoing,
    },
    DESTINATION_ROLE: {
        "none": _make_challenge,
        "authenticated": lambda transcript: [a.HoldRoom(transcript.message(Offer).needs)],
        "landing": lambda transcript: [a.PrepareLanding(transcript.message(Envelope))],
        "receiving": _receiving,
        "verifying": lambda transcript: [a.VerifyAndRestore(transcript.message(Transfer))],
        "resuming": lambda _: [a.Resume()],
        "resumed": lambda _: [a.ForgetKeys()],
        "closing": lambda _: [a.ForgetKeys()],
        "undoing": _undoing,
    },
}
