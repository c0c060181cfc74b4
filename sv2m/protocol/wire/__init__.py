# SPDX-License-Identifier: Apache-2.0
"""Bytes to messages and back: strict, bounded, and with exactly one encoding for every message.

decode() accepts a document only if encode() of what it read gives the same bytes. So nothing in a document
can be overlooked by the reader: an extra attribute, a second element, a comment, white space, another
algorithm or another URI all make the two differ. Source: the requirement "only what the schema names"
(protocol.md, What it answers).
"""

from __future__ import annotations

from typing import Final, cast

from lxml import etree

from sv2m import errors
from sv2m.protocol.declaration import STATEMENTS, Declaration
from sv2m.protocol.messages import KINDS, Message, Offer, Party, TokenBA1
from sv2m.protocol.wire.document import (
    MAX_SMALL,
    MAX_TRANSFER,
    Peek,
    canonical_bytes,
    parse,
    peek,
    root_element,
)
from sv2m.protocol.wire.element import local
from sv2m.protocol.wire.shapes import SHAPES

__all__ = ["MAX_SMALL", "MAX_TRANSFER", "Peek", "claimed_party", "decode", "decode_declaration", "encode", "peek"]

_CLASSES: Final[dict[str, type[Message] | type[Declaration]]] = {**KINDS, **STATEMENTS}


def encode(message: Message | Declaration) -> bytes:
    """The unsigned document: Exclusive Canonical XML 1.0, UTF-8, without an XML declaration."""
    kind = type(message).__name__
    return root_element(kind, message.migration_id, SHAPES[kind].write_fields(message)).render()


def decode(document: bytes) -> Message:
    """The message in a document: either unsigned, or signed with its ds:Signature as the root's last child.
    **Verifies no signature.** Give it what signature.verify() returned, or what was verified when stored.

       :raises MalformedMessage: anything but exactly what encode() writes; no other exception, whatever the
           bytes.
    """
    if peek(document).kind not in KINDS:
        raise errors.MalformedMessage("the document is no message: nobody sends it")
    return cast("Message", _decode(document))


def decode_declaration(document: bytes) -> Declaration:
    """What a person has declared, by their cloud's word. **Verifies no signature**; see decode().

    :raises MalformedMessage: as decode(), or a message.
    """
    if peek(document).kind not in STATEMENTS:
        raise errors.MalformedMessage("the document is a message, and no declaration")
    return cast("Declaration", _decode(document))


def _decode(document: bytes) -> Message | Declaration:
    claim = peek(document)
    root = parse(document)
    unsigned = document
    if len(root) and root[-1].tag == local("ds:Signature"):
        # lxml takes the text behind an element away with it; there must be none to lose.
        if root[-1].tail:
            raise errors.MalformedMessage(f"the {claim.kind} has text behind its signature")
        root.remove(root[-1])
        unsigned = canonical_bytes(root)
    try:
        message = _read(claim, root)
    except (ValueError, LookupError, TypeError, OverflowError, errors.LocalError) as error:
        raise errors.MalformedMessage(f"the {claim.kind} is malformed: {_why(error)}") from error
    if encode(message) != unsigned:
        raise errors.MalformedMessage(f"the {claim.kind} has something that no {claim.kind} has")
    return message


def claimed_party(document: bytes) -> Party:
    """Who an Offer or TokenBA1 says it is from. Nothing is verified: the chain is for CMM to validate, after
    which the signature is verified with its leaf.

    :raises MalformedMessage: as decode(), or another kind of message.
    """
    message = decode(document)
    if isinstance(message, Offer):
        return message.source
    if isinstance(message, TokenBA1):
        return message.destination
    raise errors.MalformedMessage(f"a {type(message).__name__} does not introduce its sender")


def _read(claim: Peek, root: etree._Element) -> Message | Declaration:
    fields = SHAPES[claim.kind].read_fields(list(root))
    return _CLASSES[claim.kind](migration_id=claim.migration_id, **fields)


def _why(error: Exception) -> str:
    return error.message if isinstance(error, errors.LocalError) else type(error).__name__
