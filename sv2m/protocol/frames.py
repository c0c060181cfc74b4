# SPDX-License-Identifier: Apache-2.0
"""What stands before a segment on a data connection, and the ticket that lets a connection in."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sv2m import errors
from sv2m.protocol import fields as check
from sv2m.protocol.plan import MAX_SEGMENT, MAX_SEGMENTS, MAX_STREAM, VMK_BITS

#: stream u32, index u64, length u32 (of the sealed segment, bytes); big-endian.
FRAME: Final = struct.Struct("!IQI")
#: IV (96 bits) before, tag (128 bits) behind the ciphertext.
OVERHEAD: Final = 12 + 16
TICKET_BYTES: Final = 32


@dataclass(frozen=True)
class Frame:
    """The header of a segment."""

    stream: int
    index: int
    length: int


def pack_frame(stream: int, index: int, length: int) -> bytes:
    """The 16 bytes before a sealed segment of so many bytes."""
    return FRAME.pack(stream, index, length)


def unpack_frame(header: bytes, segment_size: int = MAX_SEGMENT) -> Frame:
    """Read a header, with bounds: its length decides how much the receiver is made to read and hold.

    :param segment_size: of the stream's plan, bytes of plaintext.
    :raises MalformedMessage: out of bounds.
    """
    if len(header) != FRAME.size:
        raise errors.MalformedMessage("a frame header has 16 bytes")
    frame = Frame(*FRAME.unpack(header))
    if not 1 <= frame.stream <= MAX_STREAM or frame.index >= MAX_SEGMENTS:
        raise errors.MalformedMessage("a frame names a stream or index that no plan has")
    if not OVERHEAD < frame.length <= segment_size + OVERHEAD:
        raise errors.MalformedMessage("a frame's segment is empty or larger than planned")
    return frame


def ticket(vmk: bytes, sid: bytes, migration_id: str, connection: int) -> bytes:
    """What the n-th data connection of a migration opens with; used once.

    HMAC-SHA256 over migration id (36 ASCII characters) ‖ connection number (u64, big-endian), under
    HKDF-SHA256 (RFC 5869) of VMK with info = "sv2m-ticket" ‖ sid. The derived key says nothing about VMK, so
    a stolen ticket opens nothing.

    :returns: 32 bytes; compare with hmac.compare_digest.
    """
    check.octets("vmk", vmk, VMK_BITS // 8)
    check.octets("sid", sid, check.SHA384_BYTES)
    check.identifier("migration_id", migration_id)
    check.whole("connection", connection, 0, (1 << 32) - 1)
    key = HKDF(hashes.SHA256(), length=32, salt=None, info=b"sv2m-ticket" + sid).derive(vmk)
    return hmac.digest(key, migration_id.encode() + struct.pack("!Q", connection), "sha256")
