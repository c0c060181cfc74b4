# SPDX-License-Identifier: Apache-2.0
"""The manifest: the SHA-256 of every plaintext segment, as a ds:Manifest (XML Signature 1.1, section 5.1)."""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from hmac import compare_digest

from sv2m import errors
from sv2m.protocol import fields as check
from sv2m.protocol.messages import MAX_SEALED_SIGNATURE
from sv2m.protocol.plan import MAX_SEGMENTS, MAX_STREAM, StreamSummary
from sv2m.protocol.wire.element import Element, Verbatim
from sv2m.protocol.wire.encrypted import SHA256_URI

_HEAD = b'<ds:Manifest xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
_TAIL = b"</ds:Manifest>"
_REFERENCE = re.compile(
    rb'<ds:Reference URI="(0|[1-9][0-9]{0,2})/(0|[1-9][0-9]{0,4})">'
    rb'<ds:DigestMethod Algorithm="http://www\.w3\.org/2001/04/xmlenc#sha256"></ds:DigestMethod>'
    rb"<ds:DigestValue>([A-Za-z0-9+/]{43}=)</ds:DigestValue></ds:Reference>"
)


class Manifest:
    """Digests by (stream, index); within a stream without gaps, from 0.

    Streams may be filled side by side. Written, they stand in the order of their numbers.
    """

    def __init__(self) -> None:
        self._streams: dict[int, list[bytes]] = {}

    def add(self, stream: int, index: int, digest: bytes) -> None:
        """Add the next segment of a stream.

        :param digest: SHA-256 of the plaintext.
        :raises LocalError: not the next one, or too many.
        """
        check.whole("stream", stream, 1, MAX_STREAM)
        check.octets("digest", digest, check.SHA256_BYTES)
        digests = self._streams.setdefault(stream, [])
        if type(index) is not int or index != len(digests):
            raise check.invalid("index", f"must be {len(digests)}, the next one of stream {stream}")
        if len(self) >= MAX_SEGMENTS:
            raise check.invalid("manifest", f"must have at most {MAX_SEGMENTS} segments")
        digests.append(digest)

    def __len__(self) -> int:
        return sum(map(len, self._streams.values()))

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        for stream in sorted(self._streams):
            for index, digest in enumerate(self._streams[stream]):
                yield stream, index, digest

    def digest(self, stream: int, index: int) -> bytes:
        """The digest of one segment.

        :raises IntegrityError: there is none.
        """
        digests = self._streams.get(stream, [])
        if not 0 <= index < len(digests):
            raise errors.IntegrityError(f"the manifest has no segment {stream}/{index}")
        return digests[index]

    def to_xml(self) -> bytes:
        """The canonical ds:Manifest; what sign_manifest() signs."""
        children: list[Element | Verbatim] = [
            Element(
                "ds:Reference",
                {"URI": f"{stream}/{index}"},
                children=[
                    Element("ds:DigestMethod", {"Algorithm": SHA256_URI}),
                    Element("ds:DigestValue", text=b64encode(digest).decode("ascii")),
                ],
            )
            for stream, index, digest in self
        ]
        return Element("ds:Manifest", children=children).render()

    @classmethod
    def from_xml(cls, manifest: bytes) -> Manifest:
        """Read a canonical ds:Manifest, as verify_manifest() returns it. It must be exactly what to_xml()
        writes.

        No parser is needed for a form that is fixed to the byte: it is matched from its first byte to its
        last.

        :raises MalformedMessage: another form, a gap, a repetition, another order, an unknown digest method.
        """
        if len(manifest) > MAX_SEALED_SIGNATURE or not manifest.startswith(_HEAD):
            raise errors.MalformedMessage("the manifest is too large, or not a canonical ds:Manifest")
        result = cls()
        position = len(_HEAD)
        last = 0
        while (reference := _REFERENCE.match(manifest, position)) is not None:
            stream = int(reference[1])
            if stream < last:
                raise errors.MalformedMessage("the manifest's streams are not in order")
            last = stream
            try:
                result.add(stream, int(reference[2]), a2b_base64(reference[3], strict_mode=True))
            except (errors.LocalError, ValueError) as error:
                raise errors.MalformedMessage(f"the manifest is malformed: {error}") from error
            position = reference.end()
        if manifest[position:] != _TAIL or result.to_xml() != manifest:
            raise errors.MalformedMessage("the manifest has something that no manifest has")
        return result

    def check(self, streams: Iterable[StreamSummary]) -> None:
        """Whether it has exactly the segments that a Transfer names.

        :raises IntegrityError: it has others.
        """
        named = {stream.id: stream.segments for stream in streams}
        if named != {stream: len(digests) for stream, digests in self._streams.items()}:
            raise errors.IntegrityError(
                "the signed manifest does not have the segments that the Transfer names"
            )

    def compare(self, other: Manifest) -> None:
        """Whether two manifests are the same: what A signed, and what B received.

        :raises IntegrityError: one has a segment that the other has not, or a digest differs; it names the
            first.
        """
        for stream in sorted(set(self._streams) | set(other._streams)):
            ours, theirs = self._streams.get(stream, []), other._streams.get(stream, [])
            for index, (one, two) in enumerate(zip(ours, theirs, strict=False)):
                if not compare_digest(one, two):
                    raise errors.IntegrityError(f"segment {stream}/{index} is not what the source signed")
            if len(ours) != len(theirs):
                first = min(len(ours), len(theirs))
                raise errors.IntegrityError(f"segment {stream}/{first} is signed or received, but not both")
