# SPDX-License-Identifier: Apache-2.0
"""The parts of a migration's plan: streams, their sizes, and wrapped keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sv2m import errors
from sv2m.protocol import fields as check

#: Bounds of a segment's plaintext, bytes; always a power of two. Below 4 MiB the per-segment XML costs more
#: than it helps, above 64 MiB the buffers no longer fit a cache or a small agent.
MIN_SEGMENT: Final = 4 << 20
MAX_SEGMENT: Final = 64 << 20
#: How many segments all streams of a migration may have together. It bounds the Transfer document, which has some
#: 797 bytes for each: so many that it travels between SV2M's own programs, in base64, as a message of less than 8 MiB,
#: half of the least that a RabbitMQ of today takes as it is installed.
MAX_SEGMENTS: Final = 7_500
#: Into how many segments segment_size() cuts what may have to be sent at the start, as long as they need not be larger
#: than MAX_SEGMENT for that. Half: rounds of changed extents send parts of a disk again.
PLANNED_SEGMENTS: Final = MAX_SEGMENTS // 2
#: How many the first pass over disks and memory may take. The rest is for what changes meanwhile: a source that would
#: need more does not converge, and gives up.
FIRST_PASS_SEGMENTS: Final = MAX_SEGMENTS - MAX_SEGMENTS // 8
#: Stream 0 is the trailer's signature; disks and memory have the ids from 1.
MAX_STREAM: Final = 255

MEMORY: Final = "memory"
DISK: Final = "disk"

VMK_NAME: Final = "VMK"
VMK_KIND: Final = "vmk"
EIK_KIND: Final = "luks-passphrase"
VMK_BITS: Final = 256
_KEY_NAME: Final = re.compile(r"VMK|EIK-(?:0|[1-9][0-9]?)")


def eik_name(number: int) -> str:
    """The name of the number-th EIK, counted from 0 over the encrypted disks in their order."""
    return f"EIK-{number}"


def check_key_name(name: str) -> None:
    """VMK or EIK-0, EIK-1 and so on.

    :raises LocalError: it is not.
    """
    if type(name) is not str or _KEY_NAME.fullmatch(name) is None:
        raise check.invalid("key name", "must be VMK or EIK-n")


@dataclass(frozen=True)
class StreamPlan:
    """One stream of segments.

    :param id: number in IVs, frames and URIs, from 1.
    :param kind: memory or disk.
    :param index: which disk of Needs.disks; 0 for the memory.
    :param segment_size: bytes of plaintext in a full segment; a power of two.
    """

    id: int
    kind: str
    index: int
    segment_size: int

    def __post_init__(self) -> None:
        check.whole("StreamPlan.id", self.id, 1, MAX_STREAM)
        check.one_of("StreamPlan.kind", self.kind, (MEMORY, DISK))
        check.whole("StreamPlan.index", self.index, 0, 31 if self.kind == DISK else 0)
        check.whole("StreamPlan.segment_size", self.segment_size, MIN_SEGMENT, MAX_SEGMENT)
        if self.segment_size & (self.segment_size - 1):
            raise check.invalid("StreamPlan.segment_size", "must be a power of two")


@dataclass(frozen=True)
class StreamSummary:
    """What a stream got in the end.

    :param segments: how many, at least one.
    :param length: bytes of plaintext in all of them; no segment is empty.
    """

    id: int
    segments: int
    length: int

    def __post_init__(self) -> None:
        check.whole("StreamSummary.id", self.id, 1, MAX_STREAM)
        check.whole("StreamSummary.segments", self.segments, 1, MAX_SEGMENTS)
        check.whole("StreamSummary.length", self.length, self.segments, self.segments * MAX_SEGMENT)


def total_segments(streams: Iterable[StreamSummary]) -> int:
    """The segments of all streams together.

    :raises LocalError: more than MAX_SEGMENTS.
    """
    total = sum(stream.segments for stream in streams)
    if total > MAX_SEGMENTS:
        raise check.invalid("streams", f"must have at most {MAX_SEGMENTS} segments together")
    return total


def segments_of(length: int, segment_size: int) -> int:
    """How many segments so many bytes of a stream fill, the last one perhaps not quite."""
    return -(-length // segment_size)


def check_travels(lengths: Iterable[int], segment_size: int) -> None:
    """Whether what has to be sent in any case can be: asked before the first byte is.

    :param lengths: bytes of each stream that surely travel: the memory, an encrypted disk, what of another is data.
    :param segment_size: of all the streams.
    :raises ServerNotMovable: it takes more segments than a migration has.
    """
    lengths = list(lengths)
    if sum(segments_of(length, segment_size) for length in lengths) > FIRST_PASS_SEGMENTS:
        raise errors.ServerNotMovable(
            f"{sum(lengths) >> 30} GiB of disks and memory would have to be sent; one migration sends at most "
            f"{FIRST_PASS_SEGMENTS * MAX_SEGMENT >> 30} GiB in its first pass, beside what reads as zeros",
            code="too-much-data",
            remedy="An encrypted disk is sent as a whole; of another one, discard inside the guest (fstrim) what is no "
            "longer used. A server that has more cannot be moved by this release.",
        )


@dataclass(frozen=True)
class WrappedKey:
    """A key on its way to B.

    :param name: VMK, EIK-0, EIK-1 and so on.
    :param kind: vmk or luks-passphrase.
    :param cipher_value: RSA-OAEP to ekB (xmlenc11#rsa-oaep).
    :param commitment: SHA-256, see encryption.commitment().
    :param size: bits of the key.
    """

    name: str
    kind: str
    cipher_value: bytes
    commitment: bytes
    size: int

    def __post_init__(self) -> None:
        check_key_name(self.name)
        check.one_of("WrappedKey.kind", self.kind, (VMK_KIND, EIK_KIND))
        if (self.kind == VMK_KIND) != (self.name == VMK_NAME):
            raise check.invalid("WrappedKey.kind", "must be vmk exactly for the VMK")
        check.octets("WrappedKey.cipher_value", self.cipher_value, 384, 512)
        check.octets("WrappedKey.commitment", self.commitment, check.SHA256_BYTES)
        check.whole("WrappedKey.size", self.size, 8, 2048)
        if self.size % 8:
            raise check.invalid("WrappedKey.size", "must be whole bytes")
