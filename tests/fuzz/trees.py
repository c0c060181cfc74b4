# SPDX-License-Identifier: Apache-2.0
"""Changes XML as a tree, and writes it in canonical form: what every check of mere bytes lets pass."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence

from lxml import etree

from tests.fuzz.target import Mutator

_DS = "http://www.w3.org/2000/09/xmldsig#"
_NAMESPACES = ("urn:sv2m:1", _DS, "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#", "urn:other")
#: Text and attribute values that readers are known to stumble over.
_VALUES = (
    "", " ", "0", "-0", "00", "-1", "1", "+1", "1.0", "1e3", "0x10", "2", "255", "256", "32768", "16384", "65536",
    "4194304", "67108864", str(2**31), str(2**32), str(2**63 - 1), str(2**63), "9" * 19, "9" * 20, "9" * 5000, "٣",
    "NaN", "true", "false", "TRUE", "True", "none", "paused", "resumed", "refused", "withdrawn", "removed", "Offer",
    "memory", "disk", "VMK", "EIK-0", "EIK-99", "vmk", "..", "../../etc/passwd", "/dev/sda", "file:///etc/passwd",
    "#signature", "", "AA==", "A===", "AAAA" * 16, "=", "\t", "\n", "\r", "\u2028", "\u00a0", "é", "😀", "\ufffd",
    "2026-03-01T12:00:00Z", "2026-02-30T12:00:00Z", "0000-00-00T00:00:00Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "9999-12-31T23:59:60Z", "cloud-a.sv2m", "cloud-b.sv2m", "CLOUD-B.sv2m", "cloud-b.sv2m.",
    "6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11", "6F1C1A9E-3C6E-4D52-9D5F-0A4A2E6F7B11", "127.0.0.1", "::1", "a" * 300,
    "http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2001/04/xmlenc#rsa-1_5",
)  # fmt: skip


def mutator(others: Sequence[bytes]) -> Mutator:
    """A mutator of documents; parts of ``others`` may be put in."""
    donors = tuple(_parse(other) for other in others)

    def mutate(data: bytes, rng: random.Random) -> bytes:
        root = _parse(data)
        if root is None:
            return rng.choice(others)
        try:
            for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
                changed = rng.choice(_CHANGES)(root, rng, donors)
                root = root if changed is None else changed
            return _render(root, rng)
        except (ValueError, TypeError, etree.LxmlError):
            # A tree that was read from broken bytes may have names that cannot be written.
            return rng.choice(others)

    return mutate


def _parse(data: bytes) -> etree._Element | None:
    try:
        return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, recover=True))
    except etree.XMLSyntaxError:
        return None


def _render(root: etree._Element, rng: random.Random) -> bytes:
    try:
        if rng.random() < 0.95:
            canonical: bytes = etree.tostring(root, method="c14n", exclusive=True, with_comments=rng.random() < 0.1)
            return canonical
        return etree.tostring(root)
    except (etree.LxmlError, ValueError):
        return etree.tostring(root)


_Donors = Sequence[etree._Element | None]
_Change = Callable[[etree._Element, random.Random, _Donors], etree._Element | None]


def _any(root: etree._Element, rng: random.Random) -> etree._Element:
    elements = list(root.iter(etree.Element))
    # Deep ones are many; the root and its children deserve as much.
    return rng.choice(elements) if rng.random() < 0.7 else rng.choice([root, *root.iterchildren(tag=etree.Element)])


def _text(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    leaves = [one for one in root.iter(etree.Element) if not len(one)]
    one = rng.choice(leaves or [root])
    one.text = rng.choice(_VALUES)


def _character(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    leaves = [one for one in root.iter(etree.Element) if one.text]
    if not leaves:
        return
    one = rng.choice(leaves)
    text = one.text or ""
    place = rng.randrange(len(text))
    one.text = text[:place] + rng.choice("A/+=0 9az\n&<é") + text[place + rng.randrange(2) :]


def _attribute(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    one = _any(root, rng)
    names = [*one.attrib, "Id", "ID", "id", "URI", "Algorithm", "Type", "xml:id", "MigrationId", "Version"]
    name = rng.choice(names).replace("xml:", "{http://www.w3.org/XML/1998/namespace}")
    if name in one.attrib and rng.random() < 0.3:
        del one.attrib[name]
    else:
        one.set(name, rng.choice((*_VALUES, "context", "manifest", "#context", "#manifest", "signature")))


def _remove(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    one = _any(root, rng)
    if (parent := one.getparent()) is not None:
        parent.remove(one)


def _repeat(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    one = _any(root, rng)
    if (parent := one.getparent()) is not None:
        for _ in range(rng.choice((1, 1, 1, 5, 60))):
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(one))


def _move(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    one, target = _any(root, rng), _any(root, rng)
    if one.getparent() is not None and one not in target.iterancestors() and one is not target:
        target.insert(rng.randrange(len(target) + 1), one)


def _rename(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    one, like = _any(root, rng), _any(root, rng)
    local = etree.QName(like).localname
    one.tag = f"{{{rng.choice(_NAMESPACES)}}}{local}" if rng.random() < 0.5 else like.tag


def _graft(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    donor = rng.choice([one for one in donors if one is not None])
    part, target = copy.deepcopy(_any(donor, rng)), _any(root, rng)
    parent = target.getparent()
    if parent is not None and rng.random() < 0.6:
        parent.replace(target, part)
    else:
        target.append(part)


def _wrap(root: etree._Element, rng: random.Random, donors: _Donors) -> etree._Element | None:
    """Signature wrapping: the signed document becomes a part of another one that looks like it."""
    outer = copy.deepcopy(root)
    signature = outer.find(f"{{{_DS}}}Signature")
    inner = copy.deepcopy(root)
    holder = outer if signature is None or rng.random() < 0.5 else signature
    if rng.random() < 0.5:
        wrapped = etree.SubElement(holder, f"{{{_DS}}}Object")
        wrapped.append(inner)
    else:
        holder.insert(rng.randrange(len(holder) + 1), inner)
    _text(outer, rng, donors)
    return outer


def _comment(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    one = _any(root, rng)
    made = etree.Comment("c") if rng.random() < 0.7 else etree.ProcessingInstruction("p", "i")
    made.tail, one.text = one.text, ""
    one.insert(0, made)


def _deep(root: etree._Element, rng: random.Random, donors: _Donors) -> None:
    one = _any(root, rng)
    for _ in range(rng.choice((3, 50, 300))):
        one = etree.SubElement(one, root.tag)


_CHANGES: tuple[_Change, ...] = (
    _text, _text, _text, _character, _character, _attribute, _attribute, _remove, _repeat, _repeat, _move, _move,
    _rename, _graft, _graft, _wrap, _comment, _deep,
)  # fmt: skip
