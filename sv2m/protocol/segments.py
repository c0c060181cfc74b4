# SPDX-License-Identifier: Apache-2.0
"""Segments: sealing and opening, in the caller's buffers, in constant memory.

A segment is one AES-256-GCM message as XML Encryption 1.1, section 5.2.4 writes it: IV (96 bits) ‖ ciphertext
‖ tag (128 bits). The IV is stream number (32 bits) ‖ index (64 bits): it never repeats under a VMK, because a
VMK belongs to one attempt and a (stream, index) is sealed once. No associated data: the IV already says which
segment it is, and files must open with nothing but the key.
"""

from __future__ import annotations

import struct
import threading
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sv2m import errors
from sv2m.protocol import fields as check
from sv2m.protocol.frames import FRAME, OVERHEAD, Frame, pack_frame, ticket, unpack_frame
from sv2m.protocol.manifest import Manifest
from sv2m.protocol.plan import (
    MAX_SEGMENT,
    MAX_SEGMENTS,
    MAX_STREAM,
    MIN_SEGMENT,
    PLANNED_SEGMENTS,
    VMK_BITS,
    segments_of,
)

__all__ = [
    "FRAME",
    "OVERHEAD",
    "Frame",
    "Manifest",
    "Opener",
    "Sealer",
    "iv",
    "open_signature",
    "pack_frame",
    "seal_signature",
    "segment_size",
    "ticket",
    "unpack_frame",
]

_IV: Final = struct.Struct("!IQ")
_IV_BYTES: Final = 12


def segment_size(total_bytes: int) -> int:
    """Bytes of plaintext in a full segment: a power of two, total/PLANNED_SEGMENTS rounded up, from 4 MiB to 64 MiB.

    No size is too large for it: what of the streams is zeros does not travel. See plan.check_travels().

    :param total_bytes: the sizes of **all** streams of the migration: its disks, as the guest sees them, and its
        memory. They share MAX_SEGMENTS.
    """
    needed = max(MIN_SEGMENT, segments_of(total_bytes, PLANNED_SEGMENTS))
    return min(MAX_SEGMENT, 1 << (needed - 1).bit_length())


def iv(stream: int, index: int) -> bytes:
    """The 12 bytes of a segment's IV. Source: protocol.md, Segments."""
    return _IV.pack(stream, index)


class Sealer:
    """Seals the segments of one attempt, and never uses an IV for two different plaintexts.

    Each stream is sealed in the order of its indexes. A segment that was sealed before may be sealed again
    only with the same bytes, which gives the same ciphertext; for that the sealer keeps 32 bytes per segment,
    at most 235 KiB. A VMK whose sealer was lost (a restarted agent) must not seal again: the attempt is given
    up, the VMK with it.

    Safe from several threads. The plaintext must not change during a call.

    :param vmk: 32 bytes.
    """

    def __init__(self, vmk: bytes | bytearray) -> None:
        self._gcm = _gcm(vmk)
        self._sealed: dict[int, list[bytes]] = {}
        self._count = 0
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """Segments that the migration may still have, in all its streams together."""
        with self._lock:
            return MAX_SEGMENTS - self._count

    def seal(
        self, stream: int, index: int, plaintext: memoryview | bytes, out: memoryview | bytearray
    ) -> tuple[int, bytes]:
        """Seal one segment.

        :param plaintext: 1 byte to 64 MiB.
        :param out: room for the segment: len(plaintext) + 28 bytes.
        :returns: the segment's length in out, and SHA-256 of the plaintext, for the manifest.
        :raises LocalError: out of order ("segment-order"), or other bytes than before ("iv-reuse").
        """
        length = _size(plaintext)
        target = _room(out, length + OVERHEAD)
        check.whole("stream", stream, 0, MAX_STREAM)
        digest = sha256(plaintext).digest()
        self._claim(stream, index, digest)
        nonce = iv(stream, index)
        target[:_IV_BYTES] = nonce
        self._gcm.encrypt_into(nonce, plaintext, None, target[_IV_BYTES:])
        return length + OVERHEAD, digest

    def _claim(self, stream: int, index: int, digest: bytes) -> None:
        with self._lock:
            sealed = self._sealed.setdefault(stream, [])
            if type(index) is int and 0 <= index < len(sealed):
                if sealed[index] != digest:
                    raise errors.LocalError(
                        f"segment {stream}/{index} was sealed before with other bytes",
                        code="iv-reuse",
                        remedy="Give this attempt up; a new one has a new VMK.",
                    )
                return
            if type(index) is not int or index != len(sealed):
                raise errors.LocalError(
                    f"segment {stream}/{index} was to be sealed where {stream}/{len(sealed)} was due",
                    code="segment-order",
                )
            if self._count == MAX_SEGMENTS:
                raise errors.LocalError(
                    f"a migration has at most {MAX_SEGMENTS} segments",
                    code="too-many-segments",
                    remedy="The VM changes faster than it can be sent; migrate it while it is quieter.",
                )
            sealed.append(digest)
            self._count += 1


class Opener:
    """Opens segments. Keeps no state: which segment is due is the receiver's to know, and the manifest's to
    prove.

    :param vmk: 32 bytes.
    """

    def __init__(self, vmk: bytes | bytearray) -> None:
        self._gcm = _gcm(vmk)

    def open(
        self, stream: int, index: int, segment: memoryview | bytes, out: memoryview | bytearray
    ) -> tuple[int, bytes]:
        """Open one segment.

        :param segment: IV ‖ ciphertext ‖ tag.
        :param out: room for the plaintext: len(segment) - 28 bytes. After an error it holds zeros: no byte
            that was not verified is left to be used.
        :returns: the plaintext's length in out, and its SHA-256, to be compared with the manifest.
        :raises IntegrityError: not this segment under this VMK, or changed.
        """
        length = len(segment) - OVERHEAD
        if not 1 <= length <= MAX_SEGMENT:
            raise errors.IntegrityError(f"segment {stream}/{index} is empty, cut or too long")
        target = _room(out, length)
        view = memoryview(segment)
        # The IV is recomputed and never believed; that the segment carries it too is for readers of the file.
        nonce = iv(stream, index)
        if view[:_IV_BYTES] != nonce:
            raise errors.IntegrityError(f"what came as segment {stream}/{index} is another one")
        try:
            self._gcm.decrypt_into(nonce, view[_IV_BYTES:], None, target)
        except InvalidTag:
            target[:] = bytes(length)
            raise errors.IntegrityError(f"segment {stream}/{index} does not open: it was changed") from None
        return length, sha256(target).digest()


def seal_signature(vmk: bytes | bytearray, signature: bytes) -> bytes:
    """The trailer's ds:Signature under VMK: stream 0, index 0, which no segment has.

    Once per VMK: sealing another signature would repeat the IV. An RSA-PSS signature over the same manifest is another
    one each time: whoever may have to repeat the step keeps the signature before, and seals that one again.
    """
    out = bytearray(len(signature) + OVERHEAD)
    Sealer(vmk).seal(0, 0, signature, out)
    return bytes(out)


def open_signature(vmk: bytes | bytearray, sealed: bytes) -> bytes:
    """Open what seal_signature() made.

    :raises IntegrityError: it was not sealed under this VMK, or was changed.
    """
    out = bytearray(max(len(sealed) - OVERHEAD, 0))
    Opener(vmk).open(0, 0, sealed, out)
    return bytes(out)


def _gcm(vmk: bytes | bytearray) -> AESGCM:
    check.octets("vmk", bytes(vmk), VMK_BITS // 8)
    return AESGCM(vmk)


def _size(plaintext: memoryview | bytes) -> int:
    length = memoryview(plaintext).nbytes
    check.whole("plaintext bytes", length, 1, MAX_SEGMENT)
    return length


def _room(out: memoryview | bytearray, length: int) -> memoryview:
    view = memoryview(out)
    if view.readonly or view.nbytes < length:
        raise check.invalid("out", f"must be writable and have {length} bytes")
    return view[:length]
