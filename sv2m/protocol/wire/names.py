# SPDX-License-Identifier: Apache-2.0
"""The names that documents may have, checked before a parser sees them.

libxml2 keeps every element's, attribute's and namespace's name that it ever met in a dictionary that never shrinks.
Anybody can send documents, so names that nobody knows would fill the memory of whoever reads them, forever. There
are a hundred and some that we write; nothing else is parsed.
"""

from __future__ import annotations

import re
from typing import Final

from sv2m import errors
from sv2m.protocol.plan import MAX_SEGMENTS
from sv2m.protocol.wire.element import PREFIXES

_NAMES: Final = {
    "ds": "CanonicalizationMethod DigestMethod DigestValue KeyInfo KeyName Manifest Object Reference RetrievalMethod "
    "Signature SignatureMethod SignatureValue SignedInfo Transform Transforms X509Certificate X509Data",
    "sv2m": "Accepted Address Addresses Architecture At Binding Boot Bus Certificate Chain Cipher Closure Cloud Code "
    "Commitment Context Cpu Decision Declaration Destination DestinationCertificateDigest Device Devices Disk "
    "Disks Encrypted EndpointHost EndpointPort Envelope EnvelopeDigest EphemeralGb EphemeralKey Firmware "
    "Generation Id Index Key KeySize Keys KeysDigest Kind Length LogicalBlockSize Mac Machine Manufacturer "
    "MemoryMb MigrationId Mode Model Mtu Name Needs Nic Nics NonceA NonceB NotAfter Offer OfferDigest Outcome "
    "PhysicalBlockSize Prepared PreparedDigest Product Reason Receipt ReceiptDigest Refused Release "
    "ReleaseDigest ReleasedAt RootGb SegmentSize Segments Sid Signature Size Source SourceCertificateDigest "
    "Stream Streams SwapMb Sysinfo Target TokenAB TokenBA1 TokenBA2 TrailerDigest Transfer TransferDigest "
    "Vcpus Version VirtType Vm VolumeGb",
    "xenc": "CarriedKeyName CipherData CipherReference CipherValue EncryptedData EncryptedKey EncryptionMethod "
    "OAEPparams",
    "xenc11": "MGF",
}
_ELEMENTS: Final = frozenset(f"{prefix}:{name}".encode() for prefix, names in _NAMES.items() for name in names.split())
_ATTRIBUTES: Final = frozenset({b"Algorithm", b"Id", b"MigrationId", b"Recipient", b"Type", b"URI", b"Version"})
_NAMESPACES: Final = frozenset((f"xmlns:{prefix}".encode(), uri.encode()) for prefix, uri in PREFIXES.items())

_TAG: Final = re.compile(rb"<([^<>]*)>")
_ATTRIBUTE: Final = re.compile(rb' ([^ ="]+)="([^"]*)"')
#: Tags of a document: a Transfer has 14 of each segment's EncryptedData, and some hundred others.
MAX_TAGS: Final = 14 * MAX_SEGMENTS + 4096
#: Tags that were looked at before need not be again; most of a document's are a few dozen.
_REMEMBERED: Final = 256


def check_names(document: bytes) -> None:
    """That a document in canonical form has no names but ours.

    :raises MalformedMessage: it has others, or is not made of tags as canonical XML writes them.
    """
    seen: set[bytes] = set()
    tags = 0
    for match in _TAG.finditer(document):
        tags += 1
        if tags > MAX_TAGS:
            raise errors.MalformedMessage(f"the document has more than {MAX_TAGS} tags")
        tag = match[1]
        if tag in seen:
            continue
        _check_tag(tag)
        if len(seen) < _REMEMBERED:
            seen.add(tag)
    if document.count(b"<") != tags:
        raise errors.MalformedMessage("the document has a tag without an end")


def _check_tag(tag: bytes) -> None:
    name, blank, _ = tag.partition(b" ")
    if name.removeprefix(b"/") not in _ELEMENTS:
        raise errors.MalformedMessage("the document has an element that no message has")
    position = len(name)
    while blank and position < len(tag):
        attribute = _ATTRIBUTE.match(tag, position)
        if attribute is None:
            raise errors.MalformedMessage("the document is not in exclusive canonical form")
        if attribute[1] not in _ATTRIBUTES and (attribute[1], attribute[2]) not in _NAMESPACES:
            raise errors.MalformedMessage("the document has an attribute that no message has")
        position = attribute.end()
