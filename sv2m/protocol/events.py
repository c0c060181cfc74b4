# SPDX-License-Identifier: Apache-2.0
"""What our own side tells the machine. Clock and randomness come in with them: the machine has neither."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sv2m.protocol.messages import Accepted, Offer, Party, Refused
from sv2m.protocol.plan import StreamPlan, StreamSummary, WrappedKey

# -- both roles
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failed:
    """It cannot or shall not go on: a step failed, the operator aborted, the peer was silent too long.

    :param code: kebab-case; for the log, it is not sent.
    """

    code: str


@dataclass(frozen=True)
class Undone:
    """Everything that this attempt made or changed here is undone (at B after the Receipt: its keys are gone).

    :param now: UTC; at A it goes into the Closure.
    """

    now: datetime


# -- source
# -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OfferRequested:
    """The operator may, the VM can be moved, and this is the offer."""

    offer: Offer


@dataclass(frozen=True)
class TokenDue:
    """Here is R_A (32 fresh random bytes), in answer to TokenBA1."""

    nonce_a: bytes
    now: datetime


@dataclass(frozen=True)
class KeysWrapped:
    """VMK and EIKs are wrapped to ekB, and this is what will be sent."""

    keys: tuple[WrappedKey, ...]
    streams: tuple[StreamPlan, ...]


@dataclass(frozen=True)
class EnvelopeTaken:
    """B has answered the Envelope without a message: its landing place is ready."""


@dataclass(frozen=True)
class Sealed:
    """All segments are with B; the signature over their manifest is sealed under VMK.

    :param trailer_digest: trailer.trailer_digest() of that signature.
    """

    streams: tuple[StreamSummary, ...]
    trailer_digest: bytes
    sealed_signature: bytes


@dataclass(frozen=True)
class Committed:
    """The VM stands still, unchanged since its last byte was read; A gives it up.

    Make the phase that follows durable before the Release leaves: that is the commit.
    """

    now: datetime


@dataclass(frozen=True)
class Removed:
    """After the Receipt: server, volumes and keys are deleted at A."""

    now: datetime


@dataclass(frozen=True)
class TakenBack:
    """A person at A has decided: B is silent for ever, and its VM goes on here, on A's own responsibility.

    Make the phase that follows durable before the VM runs.
    """


@dataclass(frozen=True)
class LetGo:
    """A person at A has decided: B is silent for ever, and its VM is removed here all the same."""


@dataclass(frozen=True)
class Relinquished:
    """After LetGo: server, volumes and keys are deleted at A, and B has not signed that it has them."""


@dataclass(frozen=True)
class Told:
    """B has taken the Closure; or there was none to send, or we have stopped trying to deliver it."""


# -- destination
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChallengeDue:
    """Who we are, and R_B (32 fresh random bytes), in answer to an Offer."""

    destination: Party
    nonce_b: bytes
    now: datetime


@dataclass(frozen=True)
class RoomHeld:
    """The agreement allows it, generation and migration id are in the ledger, room is held, ekB is made."""

    accepted: Accepted


@dataclass(frozen=True)
class RoomRefused:
    """No agreement, no room, seen before: say so, signed."""

    refused: Refused


@dataclass(frozen=True)
class LandingReady:
    """Keys, volumes, port and placeholder are there, and the agent takes data."""


@dataclass(frozen=True)
class Restored:
    """Every segment is what A signed, the disks are written, the VM is restored and stands paused.

    Only after Migration.check_trailer() of the same machine has said that the signature is this migration's.
    """


@dataclass(frozen=True)
class Resumed:
    """The VM runs at B."""

    now: datetime


@dataclass(frozen=True)
class CannotResume:
    """The restored VM is gone for good, and will never run at B.

    :param code: kebab-case reason; goes into the Receipt.
    """

    code: str
    now: datetime


@dataclass(frozen=True)
class DeclaredLost:
    """A person at B has decided: the host is lost, the VM never ran there, and never will."""

    now: datetime


@dataclass(frozen=True)
class DeclaredRunning:
    """A person at B has decided: the VM runs at B, although its host cannot say so."""

    now: datetime


Event = (
    Failed
    | Undone
    | OfferRequested
    | TokenDue
    | KeysWrapped
    | EnvelopeTaken
    | Sealed
    | Committed
    | Removed
    | TakenBack
    | LetGo
    | Relinquished
    | Told
    | ChallengeDue
    | RoomHeld
    | RoomRefused
    | LandingReady
    | Restored
    | Resumed
    | CannotResume
    | DeclaredLost
    | DeclaredRunning
)
