# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, as the tests that hold them to the code read them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOC = ROOT / "doc"


def text_of(name: str) -> str:
    """A page below ``doc/``."""
    return (DOC / name).read_text()


def sections(text: str) -> dict[str, str]:
    """Each section of a Markdown page by its heading, ``#`` signs and backticks taken off, up to the next heading."""
    found: dict[str, str] = {}
    heading = ""
    for line in text.splitlines():
        match = re.match(r"#+ (.*)", line)
        if match:
            heading = match[1].replace("`", "")
        found[heading] = found.get(heading, "") + line + "\n"
    return found


def quoted(text: str) -> set[str]:
    """Everything that stands between single backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def first_cells(text: str) -> list[str]:
    """The first cell of each row of the tables in a text, without the heads."""
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    # The line of dashes stands below the head.
    no_content = {index + off for index, cell in enumerate(rows) if set(cell) == {"-"} for off in (-1, 0)}
    return [cell for index, cell in enumerate(rows) if index not in no_content]
