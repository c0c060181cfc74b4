# SPDX-License-Identifier: Apache-2.0
"""What the shell around the machine does next. Every action may be done again after a crash."""

from __future__ import annotations

from dataclasses import dataclass

from sv2m.protocol.messages import Envelope, Message, Transfer
from sv2m.protocol.needs import Needs
from sv2m.protocol.plan import StreamPlan


@dataclass(frozen=True)
class Send:
    """Sign this message, tell the machine by sent(), write it down with the new phase, then let it leave."""

    message: Message


@dataclass(frozen=True)
class Resend:
    """Let the stored signed document of this kind leave, again, unchanged."""

    kind: str


@dataclass(frozen=True)
class Acknowledge:
    """Answer the peer's message of this kind: taken, and there is no message in reply."""

    kind: str


@dataclass(frozen=True)
class MakeChallenge:
    """B: get certificate chain and nonce, then ChallengeDue."""


@dataclass(frozen=True)
class MakeNonce:
    """A: get a nonce, then TokenDue."""


@dataclass(frozen=True)
class HoldRoom:
    """B: ask agreement, ledger and load monitoring; make ekB; then RoomHeld or RoomRefused."""

    needs: Needs


@dataclass(frozen=True)
class WrapKeys:
    """A: make the VMK, find the EIKs, wrap them, then KeysWrapped.

    :param recipient: ekB, DER SubjectPublicKeyInfo.
    :param context_digest: the OAEP label.
    """

    recipient: bytes
    context_digest: bytes


@dataclass(frozen=True)
class PrepareLanding:
    """B: unwrap the keys, make volumes, port and placeholder, let the agent listen; then LandingReady."""

    envelope: Envelope


@dataclass(frozen=True)
class SealVM:
    """A: send the disks, stop the VM, send what is left and the memory; then Sealed."""

    endpoint_host: str
    endpoint_port: int
    streams: tuple[StreamPlan, ...]


@dataclass(frozen=True)
class VerifyAndRestore:
    """B: open and verify the trailer's signature, check_trailer(), every segment, restore; then Restored."""

    transfer: Transfer


@dataclass(frozen=True)
class Commit:
    """A: make sure that the VM has not run since; then Committed."""


@dataclass(frozen=True)
class Resume:
    """B: run the VM; then Resumed, or, only if it is gone for good, CannotResume."""


@dataclass(frozen=True)
class RemoveVM:
    """A: delete server, volumes and keys; then Removed."""


@dataclass(frozen=True)
class ReturnVM:
    """A: B has signed that it does not run the VM. Run it here again; then Undone."""


@dataclass(frozen=True)
class ReclaimVM:
    """A: a person has decided that B is silent for ever. Run the VM here again; then Undone."""


@dataclass(frozen=True)
class RelinquishVM:
    """A: a person has decided that B is silent for ever. Delete server, volumes and keys; then Relinquished."""


@dataclass(frozen=True)
class Undo:
    """Either: take back everything of this attempt (at A the VM runs again first); then Undone."""


@dataclass(frozen=True)
class ForgetKeys:
    """B: the VM runs here; the session's keys go; then Undone."""


Action = (
    Send
    | Resend
    | Acknowledge
    | MakeChallenge
    | MakeNonce
    | HoldRoom
    | WrapKeys
    | PrepareLanding
    | SealVM
    | VerifyAndRestore
    | Commit
    | Resume
    | RemoveVM
    | ReturnVM
    | ReclaimVM
    | RelinquishVM
    | Undo
    | ForgetKeys
)
