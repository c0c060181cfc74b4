# SPDX-License-Identifier: Apache-2.0
"""How a value becomes an element and comes back. A message is a table of these (shapes.py); nothing else
reads XML.

The readers raise ValueError or LocalError for anything but the exact form; decode() makes MalformedMessage
of them.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from lxml import etree

from sv2m.protocol.wire.element import Element, local


class Codec(Protocol):
    """One kind of value. The tag is given by the table that uses it."""

    def write(self, tag: str, value: Any) -> Element:
        """The element for a value."""

    def read(self, element: etree._Element) -> Any:
        """The value of an element."""


def camel(field: str) -> str:
    """migration_id as MigrationId; sid and its like keep to the same rule."""
    return "".join(part.capitalize() for part in field.split("_"))


def content(element: etree._Element) -> str:
    """The text of an element that has nothing but text."""
    if len(element) or element.attrib:
        raise ValueError(f"{_name(element)} has more than text")
    return element.text or ""


def children(element: etree._Element) -> list[etree._Element]:
    """The child elements of an element that has nothing else."""
    if element.attrib or (element.text or "").strip():
        raise ValueError(f"{_name(element)} has attributes or text")
    return list(element)


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname[:40]


class Text:
    """A string as it is."""

    def write(self, tag: str, value: str) -> Element:
        """See Codec."""
        return Element(tag, text=value)

    def read(self, element: etree._Element) -> str:
        """See Codec."""
        return content(element)


class Integer:
    """A decimal number without sign and leading zeros (xs:nonNegativeInteger in canonical form), up to 19
    digits.
    """

    _pattern = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)

    def write(self, tag: str, value: int) -> Element:
        """See Codec."""
        return Element(tag, text=str(value))

    def read(self, element: etree._Element) -> int:
        """See Codec."""
        if self._pattern.fullmatch(content(element)) is None:
            raise ValueError(f"{_name(element)} is not a whole number")
        return int(content(element))


class Boolean:
    """True or false (xs:boolean in canonical form)."""

    def write(self, tag: str, value: bool) -> Element:
        """See Codec."""
        return Element(tag, text="true" if value else "false")

    def read(self, element: etree._Element) -> bool:
        """See Codec."""
        return {"true": True, "false": False}[content(element)]


class Binary:
    """Bytes as base64 in one line, padded (xs:base64Binary in canonical form)."""

    def write(self, tag: str, value: bytes) -> Element:
        """See Codec."""
        return Element(tag, text=base64(value))

    def read(self, element: etree._Element) -> bytes:
        """See Codec."""
        return a2b_base64(content(element), strict_mode=True)


def base64(value: bytes) -> str:
    """The one spelling of bytes that the wire knows."""
    return b64encode(value).decode("ascii")


class Instant:
    """A second in UTC, such as 2026-01-31T12:00:00Z (xs:dateTime)."""

    _pattern = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)

    def write(self, tag: str, value: datetime) -> Element:
        """See Codec."""
        return Element(tag, text=value.replace(tzinfo=None).isoformat(timespec="seconds") + "Z")

    def read(self, element: etree._Element) -> datetime:
        """See Codec."""
        if self._pattern.fullmatch(content(element)) is None:
            raise ValueError(f"{_name(element)} is not a time in UTC")
        return datetime.strptime(content(element), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


class Struct:
    """A dataclass: its fields as children, all of them, in the table's order, each under its own name."""

    def __init__(self, cls: type[Any], fields: Mapping[str, Codec]) -> None:
        self._cls = cls
        self._fields = fields

    def write(self, tag: str, value: Any) -> Element:
        """See Codec."""
        return Element(tag, children=self.write_fields(value))

    def write_fields(self, value: Any) -> list[Element]:
        """The children alone, for a root that has attributes of its own."""
        return [
            codec.write(f"sv2m:{camel(field)}", getattr(value, field))
            for field, codec in self._fields.items()
        ]

    def read(self, element: etree._Element) -> Any:
        """See Codec."""
        return self._cls(**self.read_fields(children(element)))

    def read_fields(self, elements: list[etree._Element]) -> dict[str, Any]:
        """The values by field."""
        expected = [local(f"sv2m:{camel(field)}") for field in self._fields]
        if [element.tag for element in elements] != expected:
            raise ValueError(f"the fields of {self._cls.__name__} are not those that it has, in their order")
        return {
            field: codec.read(element)
            for (field, codec), element in zip(self._fields.items(), elements, strict=True)
        }


class Many:
    """A tuple: one child per item, all under the same name."""

    def __init__(self, tag: str, codec: Codec) -> None:
        self._tag = tag
        self._codec = codec

    def write(self, tag: str, value: tuple[Any, ...]) -> Element:
        """See Codec."""
        return Element(tag, children=[self._codec.write(self._tag, item) for item in value])

    def read(self, element: etree._Element) -> tuple[Any, ...]:
        """See Codec."""
        items = children(element)
        if any(item.tag != local(self._tag) for item in items):
            raise ValueError(f"{_name(element)} has other elements than {self._tag}")
        return tuple(self._codec.read(item) for item in items)


class Choice:
    """One of several dataclasses: a single child whose name says which."""

    def __init__(self, choices: Mapping[type[Any], Codec]) -> None:
        self._choices = choices

    def write(self, tag: str, value: Any) -> Element:
        """See Codec."""
        cls = type(value)
        return Element(tag, children=[self._choices[cls].write(f"sv2m:{cls.__name__}", value)])

    def read(self, element: etree._Element) -> Any:
        """See Codec."""
        (child,) = children(element)
        by_tag = {local(f"sv2m:{cls.__name__}"): codec for cls, codec in self._choices.items()}
        return by_tag[child.tag].read(child)
