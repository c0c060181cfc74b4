# SPDX-License-Identifier: Apache-2.0
"""What a field of a message may hold. One function per kind of value; each raises
LocalError("invalid-field").

The reader turns that into MalformedMessage when the value came from the peer, so that the same rule guards
both directions: what we would not accept we cannot send.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sv2m import errors

SHA256_BYTES: Final = 32
SHA384_BYTES: Final = 48
#: Of points in time; of the second none is any more.
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2200
#: R_A and R_B have 256 bits: the birthday bound is out of reach, so that "single use" holds without a store
#: of nonces.
NONCE_BYTES: Final = 32

#: Host name letters, lower case only: two spellings of one cloud would be two names in the signatures (RFC
#: 1123).
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_TOKEN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:,=+-]{0,127})")
_CODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.:-]{0,252})")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def invalid(field: str, why: str) -> errors.LocalError:
    """The error for a field; it never repeats the value, which may be secret, huge or hostile."""
    return errors.LocalError(f"{field} {why}", code="invalid-field")


def whole(field: str, value: int, low: int, high: int) -> None:
    """An integer between low and high, both included; bool is not an integer here."""
    if type(value) is not int or not low <= value <= high:
        raise invalid(field, f"must be a whole number from {low} to {high}")


def power(field: str, value: int, low: int, high: int) -> None:
    """A power of two between low and high, both included."""
    whole(field, value, low, high)
    if value & (value - 1):
        raise invalid(field, "must be a power of two")


def flag(field: str, value: bool) -> None:
    """True or False."""
    if type(value) is not bool:
        raise invalid(field, "must be true or false")


def octets(field: str, value: bytes, low: int, high: int | None = None) -> None:
    """Between low and high bytes (exactly low when high is left out)."""
    high = low if high is None else high
    if type(value) is not bytes or not low <= len(value) <= high:
        raise invalid(field, f"must have {low} bytes" if low == high else f"must have {low} to {high} bytes")


def text(field: str, value: str, low: int, high: int) -> None:
    """Human text: any character that XML 1.0 can carry unchanged, without controls and line ends.

    Line ends and tabs are out because XML normalises them, so that they would not come back as they went in.
    """
    if type(value) is not str or not low <= len(value) <= high:
        raise invalid(field, f"must have {low} to {high} characters")
    for character in value:
        code = ord(character)
        if (
            code < 0x20
            or 0x7F <= code <= 0x9F
            or 0xD800 <= code <= 0xDFFF
            or code in (0x2028, 0x2029)
            or code & 0xFFFE == 0xFFFE
        ):
            raise invalid(field, "contains a control character")


def _matches(field: str, value: str, pattern: re.Pattern[str], what: str) -> None:
    if type(value) is not str or pattern.fullmatch(value) is None:
        raise invalid(field, f"must be {what}")


def name(field: str, value: str) -> None:
    """The name of a cloud, as in its certificate: a lower-case DNS name."""
    _matches(field, value, _NAME, "a lower-case DNS name")
    if len(value) > 253:
        raise invalid(field, "must have at most 253 characters")


def host(field: str, value: str) -> None:
    """A DNS name or IP address to connect to."""
    _matches(field, value, _HOST, "a host name or an IP address")


def code(field: str, value: str) -> None:
    """A kebab-case reason code."""
    _matches(field, value, _CODE, "a kebab-case code of at most 64 characters")


def token(field: str, value: str, empty: bool = False) -> None:
    """A libvirt or QEMU name such as pc-q35-7.2 or controller:usb; it has no slash and no space, so it is no
    path.
    """
    if empty and value == "":
        return
    _matches(field, value, _TOKEN, "a name of at most 128 letters, digits and ._:,=+-")


def mac(field: str, value: str) -> None:
    """A unicast Ethernet address in lower case."""
    _matches(field, value, _MAC, "a lower-case MAC address")
    if int(value[1], 16) & 1:
        raise invalid(field, "must be a unicast MAC address")


def one_of(field: str, value: str, choices: Collection[str]) -> None:
    """One of a closed set of words."""
    if type(value) is not str or value not in choices:
        raise invalid(field, f"must be one of {', '.join(sorted(choices))}")


def identifier(field: str, value: str) -> None:
    """A UUID in its one canonical spelling (RFC 9562: lower case, with hyphens)."""
    try:
        canonical = type(value) is str and str(UUID(value)) == value
    except ValueError:
        canonical = False
    if not canonical:
        raise invalid(field, "must be a UUID in lower case with hyphens")


def instant(field: str, value: datetime) -> datetime:
    """A point in time of our days; returned in UTC without its fraction of a second, which the wire does not carry.

    Far from both ends of what a clock, a database or a timer can hold, so that nobody who adds to it runs over.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise invalid(field, "must be a point in time with its time zone")
    if not FIRST_YEAR <= value.year < LAST_YEAR:
        raise invalid(field, f"must be a point in time from {FIRST_YEAR} to {LAST_YEAR}")
    return value.astimezone(UTC).replace(microsecond=0)


def items(field: str, value: tuple[object, ...], kind: type, low: int, high: int) -> None:
    """A tuple of low to high items of one type."""
    if (
        type(value) is not tuple
        or not low <= len(value) <= high
        or any(type(item) is not kind for item in value)
    ):
        raise invalid(field, f"must be {low} to {high} of {kind.__name__}")
