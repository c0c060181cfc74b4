# SPDX-License-Identifier: Apache-2.0
"""Types of arguments; argparse names the option when one is not what it should be."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime


def count(text: str) -> int:
    """A number of things or seconds, 1 or more."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 999999):
        raise argparse.ArgumentTypeError("it takes a number from 1 to 999999")
    return int(text)


def moment(text: str) -> str:
    """A point in time in ISO 8601; UTC unless it says otherwise."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("it takes a time in ISO 8601, such as 2030-01-31T08:00") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
