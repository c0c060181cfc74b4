# SPDX-License-Identifier: Apache-2.0
"""Reading: the one place where bytes from outside meet an XML parser.

A document of SV2M is its own exclusive canonical form. That single rule takes a whole class of trouble away
before anything is parsed: canonical XML has no DTD, no CDATA, no comment, no XML declaration and no entity
but the five, so ``<!`` and ``<?`` cannot occur; and there is exactly one way to write a given document, so
that "the same message" means the same bytes.

Order of the checks, cheapest first (numbers as in signature.py): 1 size, 2 the fixed first bytes, 3 no
declaration and no name but ours, 4 parse without network, entities or huge trees, 5 canonical.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from sv2m import errors
from sv2m.protocol.declaration import STATEMENTS
from sv2m.protocol.messages import KINDS
from sv2m.protocol.wire.element import Element
from sv2m.protocol.wire.names import check_names

#: Bytes. The largest of the small messages is an Envelope with 33 keys wrapped to RSA-4096 (about 85 KiB).
MAX_SMALL: Final = 128 << 10
#: Bytes. A Transfer has up to MAX_SEGMENTS EncryptedData of at most 527 bytes each (4.0 MB), the sealed signature as
#: base64 (2.1 MB at most) and what the small ones have. In base64 this is less than 8 MiB: whatever a peer sends, no
#: message between our own programs is larger (see plan.MAX_SEGMENTS).
MAX_TRANSFER: Final = 6_200_000

#: How every document begins. Canonical form fixes the order and the quotes, so this is not a guess at XML: a
#: document that begins otherwise is none of ours, whatever a parser would make of it.
_HEAD = re.compile(
    rb'<sv2m:(?P<kind>[A-Z][A-Za-z0-9]{2,15}) xmlns:sv2m="urn:sv2m:1" MigrationId="'
    rb"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    rb'" Version="(?P<version>[0-9]{1,9})">'
)
VERSION: Final = "1"
_ROOTS: Final = frozenset({*KINDS, *STATEMENTS})


@dataclass(frozen=True)
class Peek:
    """What a document claims to be; nothing of it is verified."""

    kind: str
    migration_id: str


def peek(document: bytes) -> Peek:
    """Kind and migration id of a document, for routing. Looks at the size and the first bytes; nothing is
    parsed.

    :raises MalformedMessage: too large, not one of ours, or of another version of the protocol.
    """
    if len(document) > MAX_TRANSFER:
        raise errors.MalformedMessage(
            f"the document has {len(document)} bytes; at most {MAX_TRANSFER} are read"
        )
    head = _HEAD.match(document)
    if head is None or head["kind"].decode() not in _ROOTS:
        raise errors.MalformedMessage("the document does not begin like a message of SV2M in canonical form")
    if head["version"].decode() != VERSION:
        raise errors.MalformedMessage(
            "the document is of another version of the protocol", code="unsupported-version"
        )
    kind = head["kind"].decode()
    if kind != "Transfer" and len(document) > MAX_SMALL:
        raise errors.MalformedMessage(f"the {kind} has {len(document)} bytes; at most {MAX_SMALL} are read")
    return Peek(kind, head["id"].decode())


def parse(document: bytes) -> etree._Element:
    """Parse a whole message and make sure that it is its own canonical form.

    :raises MalformedMessage: it is not.
    """
    peek(document)  # 1, 2
    return parse_canonical(document)


def parse_canonical(document: bytes) -> etree._Element:
    """Checks 3 to 5, for a message or a part that travelled inside one. The caller has bounded its size.

    :raises MalformedMessage: a declaration, a name that no message has, not well-formed, or not canonical.
    """
    if b"<!" in document or b"<?" in document:  # 3
        raise errors.MalformedMessage("the document has a declaration, comment or processing instruction")
    check_names(document)
    try:  # 4
        root = etree.fromstring(document, parser())
        canonical: bytes = etree.tostring(root, method="c14n", exclusive=True, with_comments=False)
    except (etree.LxmlError, ValueError) as error:
        # The parser's own text may quote the document; its place in it is enough to find the cause.
        raise errors.MalformedMessage("the document is not well-formed XML with namespaces") from error
    if canonical != document:  # 5
        raise errors.MalformedMessage("the document is not in exclusive canonical form")
    return root


def parser() -> etree.XMLParser:
    """A parser that fetches nothing, expands nothing, and keeps libxml2's limits (depth 256, text 10 MB)."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        collect_ids=False,
    )


def canonical_bytes(element: etree._Element) -> bytes:
    """Exclusive canonical form of an element that was read.

    :raises MalformedMessage: it has none (a relative namespace, for example).
    """
    try:
        rendered: bytes = etree.tostring(
            element, method="c14n", exclusive=True, with_comments=False, with_tail=False
        )
    except (etree.LxmlError, ValueError) as error:
        raise errors.MalformedMessage("the document has no canonical form") from error
    return rendered


def root_element(kind: str, migration_id: str, children: list[Element]) -> Element:
    """The root of a message: what _HEAD recognises."""
    return Element(f"sv2m:{kind}", {"MigrationId": migration_id, "Version": VERSION}, children=children)
