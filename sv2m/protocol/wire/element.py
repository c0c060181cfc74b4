# SPDX-License-Identifier: Apache-2.0
"""Writing: elements that know only how to become their own canonical form.

What leaves here is Exclusive XML Canonicalization 1.0 without comments (W3C xml-exc-c14n), by construction.
The reader canonicalises what it gets with libxml2 and compares, so a mistake here is a refused message, never
an accepted one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

SV2M: Final = "urn:sv2m:1"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"

#: A namespace has one prefix and one only, because the prefix is part of the canonical bytes.
PREFIXES: Final = {"sv2m": SV2M, "ds": DS, "xenc": XENC, "xenc11": XENC11}

#: Canonical XML 1.0, section 2.3: what is written as a reference in text and in attribute values.
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_ATTRIBUTE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
)


class Element:
    """An element: prefix:name, attributes without a prefix, then either text or children."""

    __slots__ = ("attributes", "children", "tag", "text")

    def __init__(
        self,
        tag: str,
        attributes: Mapping[str, str] | None = None,
        *,
        text: str = "",
        children: Iterable[Element | Verbatim] = (),
    ) -> None:
        self.tag = tag
        self.attributes = dict(attributes or {})
        self.text = text
        self.children = list(children)

    def render(self, scope: frozenset[str] = frozenset()) -> bytes:
        """The canonical bytes.

        :param scope: prefixes that an element around this one has declared already.
        """
        parts: list[str] = []
        self._write(parts, scope)
        return "".join(parts).encode()

    def _write(self, parts: list[str], scope: frozenset[str]) -> None:
        prefix = self.tag.partition(":")[0]
        parts.append(f"<{self.tag}")
        if prefix not in scope:
            parts.append(f' xmlns:{prefix}="{PREFIXES[prefix]}"')
            scope = scope | {prefix}
        for name in sorted(self.attributes):
            parts.append(f' {name}="{self.attributes[name].translate(_ATTRIBUTE)}"')
        parts.append(">")
        parts.append(self.text.translate(_TEXT))
        for child in self.children:
            child._write(parts, scope)
        parts.append(f"</{self.tag}>")


class Verbatim:
    """Bytes that are canonical already and declare the namespaces they use, such as one of 16,384 like
    elements.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def _write(self, parts: list[str], scope: frozenset[str]) -> None:
        parts.append(self._text)


def local(tag: str) -> str:
    """prefix:name as lxml's {namespace}name."""
    prefix, _, name = tag.partition(":")
    return f"{{{PREFIXES[prefix]}}}{name}"
