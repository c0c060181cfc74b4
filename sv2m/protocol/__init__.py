# SPDX-License-Identifier: Apache-2.0
"""The protocol's core, sans-io: bytes, clock and randomness come in; bytes, messages and actions go out.

It opens no socket, file or database and reads no clock, so that all of it can be tested, and read, by itself.

====================
========================================================================================== file
what it is
====================
========================================================================================== messages, needs,
the ten XML messages as frozen dataclasses, validated on construction plan, fields states               which
phase follows which, as literal tables; diagrams are drawn from them events, actions      what the shell tells
the machine; what the machine asks of the shell machine, checks,     one migration, either role:
receive(message), local(event) -> actions outgoing wire                 bytes to messages and back: strict,
bounded, canonical signature,           XML signatures, one way to make them and one hardened way to verify
them; the trailer's trailer_signature,   signature over context and manifest signature_form, signing_key,
trailer session, encryption  session id, OAEP label, wrapped keys, commitments segments, frames,    the
eleventh message: sealed segments, their headers and tickets, the manifest of them, and manifest, records
the records inside a disk's stream
====================
==========================================================================================
"""

from sv2m.protocol.actions import (
    Acknowledge,
    Action,
    Commit,
    ForgetKeys,
    HoldRoom,
    MakeChallenge,
    MakeNonce,
    PrepareLanding,
    ReclaimVM,
    RelinquishVM,
    RemoveVM,
    Resend,
    Resume,
    ReturnVM,
    SealVM,
    Send,
    Undo,
    VerifyAndRestore,
    WrapKeys,
)
from sv2m.protocol.declaration import Declaration
from sv2m.protocol.events import (
    CannotResume,
    ChallengeDue,
    Committed,
    DeclaredLost,
    DeclaredRunning,
    EnvelopeTaken,
    Event,
    Failed,
    KeysWrapped,
    LandingReady,
    LetGo,
    OfferRequested,
    Relinquished,
    Removed,
    Restored,
    Resumed,
    RoomHeld,
    RoomRefused,
    Sealed,
    TakenBack,
    TokenDue,
    Told,
    Undone,
)
from sv2m.protocol.machine import Migration
from sv2m.protocol.messages import (
    KINDS,
    NOTHING,
    Accepted,
    Closure,
    Envelope,
    Message,
    Offer,
    Party,
    Prepared,
    Receipt,
    Refused,
    Release,
    TokenAB,
    TokenBA1,
    TokenBA2,
    Transfer,
)
from sv2m.protocol.needs import Cpu, Disk, Needs, Nic, Sysinfo
from sv2m.protocol.plan import MAX_SEGMENT, StreamPlan, StreamSummary, WrappedKey, check_travels
from sv2m.protocol.segments import Manifest, Opener, Sealer, segment_size, ticket
from sv2m.protocol.session import certificate_digest, context_digest, session_id
from sv2m.protocol.signature import Verified, sign, sign_manifest, verify, verify_manifest
from sv2m.protocol.trailer import Binding, trailer_context, trailer_digest
from sv2m.protocol.transcript import Received
from sv2m.protocol.wire import MAX_SMALL, Peek, claimed_party, decode, decode_declaration, encode, peek
from sv2m.protocol.wire import MAX_TRANSFER as MAX_DOCUMENT

__all__ = [
    "KINDS",
    "MAX_DOCUMENT",
    "MAX_SEGMENT",
    "MAX_SMALL",
    "NOTHING",
    "Accepted",
    "Acknowledge",
    "Action",
    "Binding",
    "CannotResume",
    "ChallengeDue",
    "Closure",
    "Commit",
    "Committed",
    "Cpu",
    "Declaration",
    "DeclaredLost",
    "DeclaredRunning",
    "Disk",
    "Envelope",
    "EnvelopeTaken",
    "Event",
    "Failed",
    "ForgetKeys",
    "HoldRoom",
    "KeysWrapped",
    "LandingReady",
    "LetGo",
    "MakeChallenge",
    "MakeNonce",
    "Manifest",
    "Message",
    "Migration",
    "Needs",
    "Nic",
    "Offer",
    "OfferRequested",
    "Opener",
    "Party",
    "Peek",
    "PrepareLanding",
    "Prepared",
    "Receipt",
    "Received",
    "ReclaimVM",
    "Refused",
    "Release",
    "RelinquishVM",
    "Relinquished",
    "RemoveVM",
    "Removed",
    "Resend",
    "Restored",
    "Resume",
    "Resumed",
    "ReturnVM",
    "RoomHeld",
    "RoomRefused",
    "SealVM",
    "Sealed",
    "Sealer",
    "Send",
    "StreamPlan",
    "StreamSummary",
    "Sysinfo",
    "TakenBack",
    "TokenAB",
    "TokenBA1",
    "TokenBA2",
    "TokenDue",
    "Told",
    "Transfer",
    "Undo",
    "Undone",
    "Verified",
    "VerifyAndRestore",
    "WrapKeys",
    "WrappedKey",
    "certificate_digest",
    "check_travels",
    "claimed_party",
    "context_digest",
    "decode",
    "decode_declaration",
    "encode",
    "peek",
    "segment_size",
    "session_id",
    "sign",
    "sign_manifest",
    "ticket",
    "trailer_context",
    "trailer_digest",
    "verify",
    "verify_manifest",
]
