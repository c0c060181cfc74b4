# SPDX-License-Identifier: Apache-2.0
"""What an agent is told about its part of a migration: the ``job`` argument of RPC, read strictly."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sv2m.errors import LocalError
from sv2m.protocol.plan import DISK, MAX_SEGMENT, MAX_SEGMENTS, MEMORY, MIN_SEGMENT, segments_of
from sv2m.protocol.reach import Reach

T = TypeVar("T")


@dataclass(frozen=True)
class StreamSpec:
    """A stream of the plan.

    :param size: bytes of the disk as the guest sees it, or of its RAM.
    :param segment_size: bytes of plaintext in a full segment.
    """

    id: int
    kind: str
    index: int
    segment_size: int
    size: int

    @property
    def segments(self) -> int:
        """How many segments the stream may have.

        A disk's stream is a log: rounds of changed blocks come on top of its size, as many as the migration has
        segments for. A memory stream has a few bytes more per page than the RAM, and the state of the devices.
        """
        if self.kind == DISK:
            return MAX_SEGMENTS
        return min(MAX_SEGMENTS, segments_of(self.size + self.size // 8 + (512 << 20), self.segment_size))


@dataclass(frozen=True)
class SourceSpec:
    """What a source is told.

    ``endpoint`` is B's data endpoint, ``rate_limit`` in bytes per second, 0 for none; ``reach`` has the addresses to
    which the agreement lets it connect; ``downtime`` is the seconds for which the guest may stand still, ``lifetime``
    those until the offer ends, 0 for any time.
    """

    server_id: str
    sid: bytes
    vmk_ref: str
    endpoint: tuple[str, int]
    streams: tuple[StreamSpec, ...]
    rate_limit: int
    reach: Reach
    downtime: float
    lifetime: float


@dataclass(frozen=True)
class DestinationSpec:
    """What a destination is told.

    :param needs: the VM descriptor, as a plain dict.
    :param eik_refs: disk index -> reference of its EIK, for the encrypted ones.
    :param lifetime: seconds until the job gives up unless it has restored the guest; 0 for never.
    """

    server_id: str
    sid: bytes
    vmk_ref: str
    needs: dict[str, Any]
    streams: tuple[StreamSpec, ...]
    eik_refs: dict[int, str]
    lifetime: float


def source(job: Mapping[str, Any]) -> SourceSpec:
    """:raises LocalError: the job is not what it should be."""
    return _read(
        lambda: SourceSpec(
            server_id=str(job["server_id"]),
            sid=base64.b64decode(job["sid_b64"], validate=True),
            vmk_ref=str(job["vmk_ref"]),
            endpoint=(str(job["endpoint"]["host"]), int(job["endpoint"]["port"])),
            streams=_streams(job),
            rate_limit=int(job.get("rate_limit") or 0),
            reach=Reach.of(map(str, job["data_networks"])),
            downtime=float(job.get("downtime") or 0),
            lifetime=float(job.get("lifetime") or 0),
        )
    )


def destination(job: Mapping[str, Any]) -> DestinationSpec:
    """:raises LocalError: the job is not what it should be."""
    return _read(
        lambda: DestinationSpec(
            server_id=str(job["server_id"]),
            sid=base64.b64decode(job["sid_b64"], validate=True),
            vmk_ref=str(job["vmk_ref"]),
            needs=dict(job["needs"]),
            streams=_streams(job),
            eik_refs={int(disk["index"]): str(disk["eik_ref"]) for disk in job["disks"] if disk["eik_ref"]},
            lifetime=float(job["lifetime"]),
        )
    )


def _read(build: Callable[[], T]) -> T:
    try:
        return build()
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise LocalError(f"the job cannot be read: {type(error).__name__} {error}") from error


def _streams(job: Mapping[str, Any]) -> tuple[StreamSpec, ...]:
    streams = tuple(
        StreamSpec(
            int(entry["id"]),
            str(entry["kind"]),
            int(entry["index"]),
            int(entry["segment_size"]),
            int(entry["size"]),
        )
        for entry in job["streams"]
    )
    disks = sorted(stream.index for stream in streams if stream.kind == DISK)
    if len({stream.id for stream in streams}) != len(streams) or len(set(disks)) != len(disks):
        raise ValueError("a stream is there twice")
    if [stream.kind for stream in streams if stream.kind != DISK] != [MEMORY]:
        raise ValueError("there must be one memory stream, and disk streams beside it")
    for stream in streams:
        # Stream 0 belongs to the trailer's signature: nothing else may be sealed under its IVs.
        if stream.id < 1 or not MIN_SEGMENT <= stream.segment_size <= MAX_SEGMENT or stream.size < 1:
            raise ValueError(f"stream {stream.id} is out of bounds")
    return streams
