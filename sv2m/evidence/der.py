# SPDX-License-Identifier: Apache-2.0
"""DER (X.690) as far as a timestamp needs it: values, and the values in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTETS: Final = 0x04
OID: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31
#: A length has at most so many bytes: what is read has far less than 16 MiB.
_MAX_LENGTH = 3


@dataclass(frozen=True)
class Value:
    """One value.

    :param tag: its first byte.
    """

    tag: int
    content: bytes

    def parts(self, tag: int = SEQUENCE) -> list[Value]:
        """The values in it.

        :raises ValueError: it has another tag, or is not made of values.
        """
        if self.tag != tag:
            raise ValueError("a value of another type was expected")
        return values(self.content)


def context(number: int) -> int:
    """The tag [0], [1] … of a value that has others in it."""
    return 0xA0 | number


def values(data: bytes) -> list[Value]:
    """The values that stand one after the other.

    :raises ValueError: something else stands there.
    """
    found, start = [], 0
    while start < len(data):
        header = data[start : start + 2]
        if len(header) < 2 or header[0] & 0x1F == 0x1F:
            raise ValueError("it is not DER")
        more = header[1] & 0x7F if header[1] & 0x80 else 0
        begin = start + 2 + more
        if more > _MAX_LENGTH or (header[1] == 0x80) or begin > len(data):
            raise ValueError("it is not DER")
        length = int.from_bytes(data[start + 2 : begin]) if more else header[1]
        start = begin + length
        if start > len(data):
            raise ValueError("it is not DER")
        found.append(Value(header[0], data[begin:start]))
    return found
