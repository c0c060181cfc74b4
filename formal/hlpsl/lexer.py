# SPDX-License-Identifier: Apache-2.0
"""Words and signs of a specification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: Longest first. ``_`` before a key is a sign of its own only after a brace, so ``}_`` is one token.
_TOKEN: Final = re.compile(
    r"(?P<blank>\s+|%[^\n]*)|(?P<token>=\|>|\}_|:=|/=|/\\|def=|[A-Za-z][A-Za-z0-9_]*'?|[0-9]+|[(){}.,=:])"
)


class HlpslError(Exception):
    """The text is not HLPSL, or uses a part of it that is not supported."""


@dataclass(frozen=True)
class Token:
    """A word or sign, and the line it stands in (from 1)."""

    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text; comments run from % to the end of the line.

    :raises HlpslError: a character that begins no token.
    """
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise HlpslError(f"line {line}: cannot read {text[position : position + 20]!r}")
        if match["token"] is not None:
            yield Token(match["token"], line)
        line += match[0].count("\n")
        position = match.end()
