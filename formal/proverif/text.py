# SPDX-License-Identifier: Apache-2.0
"""Models as text: their queries with what must come out, and edits that take something out of them.

An edit that finds nothing to change raises; so a variant cannot quietly become the protocol as shipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from formal import fields

Edit = Callable[[str], str]

_HERE: Final = Path(__file__).parent
#: What all models begin with.
LIBRARY: Final = _HERE / "sv2m.pvl"
#: The models, by name.
MODELS: Final = {name: _HERE / f"{name}.pv" for name in ("sv2m", "evidence", "theft")}

_QUERY: Final = re.compile(r"^\(\*! (\w+): (true|false) \*\)\n(query .*?\.)\n", re.MULTILINE | re.DOTALL)


class TextError(Exception):
    """A model has not what an edit is to change, or not the form that this module reads."""


def load(model: str) -> str:
    """A model with its library, as one text that ProVerif takes.

    :raises KeyError: there is no such model.
    """
    return LIBRARY.read_text() + "\n" + MODELS[model].read_text()


def expected(text: str) -> dict[str, str]:
    """What must come out of each query, ``true`` or ``false``, by its name and in the text's order."""
    return {match[1]: match[2] for match in _QUERY.finditer(text)}


def only(text: str, queries: Mapping[str, str]) -> str:
    """The model with these queries alone, and with these as what must come out.

    :raises TextError: it has not all of them.
    """
    if set(queries) - set(expected(text)):
        raise TextError(f"no query {', '.join(sorted(set(queries) - set(expected(text))))}")

    def kept(match: re.Match[str]) -> str:
        return f"(*! {match[1]}: {queries[match[1]]} *)\n{match[3]}\n" if match[1] in queries else ""

    return _QUERY.sub(kept, text)


def calls(text: str, name: str) -> Iterator[tuple[int, int, list[str]]]:
    """Every ``name(argument, argument ...)``, the last first: where it begins and ends, and its arguments.

    :raises TextError: a parenthesis is not closed.
    """
    for match in reversed(list(re.finditer(rf"\b{name}\(", text))):
        arguments, depth, begin = [], 0, match.end()
        for at in range(match.end(), len(text)):
            if depth == 0 and text[at] in ",)":
                arguments.append(" ".join(text[begin:at].split()))
                begin = at + 1
                if text[at] == ")":
                    yield match.start(), at + 1, [argument for argument in arguments if argument]
                    break
            depth += {"(": 1, ")": -1}.get(text[at], 0)
        else:
            raise TextError(f"{name} is not closed")


def drop(name: str, *positions: int) -> Edit:
    """Leave arguments out of a constructor or event, where it is declared, built, read and asked about."""

    def edit(text: str) -> str:
        found = list(calls(text, name))
        if not found:
            raise TextError(f"no {name}")
        for begin, end, arguments in found:
            if max(positions) >= len(arguments):
                raise TextError(f"{name} has only {len(arguments)} arguments")
            kept = [argument for at, argument in enumerate(arguments) if at not in positions]
            text = f"{text[:begin]}{name}({', '.join(kept)}){text[end:]}"
        return text

    return edit


def drop_parts(tag: str, *parts: str) -> Edit:
    """Leave parts, by their names in the table of fields, out of every document of a tag."""
    return drop(tag, *(fields.PARTS[tag].index(part) for part in parts))


def replace(old: str, new: str) -> Edit:
    """Another text for every occurrence of one."""

    def edit(text: str) -> str:
        if old not in text:
            raise TextError(f"no {old!r}")
        return text.replace(old, new)

    return edit


def unsign(variable: str, tag: str) -> Edit:
    """Leave the signature off every document of a tag, which is held in a variable."""

    def edit(text: str) -> str:
        opened = re.compile(rf"\b(?:verified\({variable}, \w+\)|content\({variable}\))")
        if not opened.search(text):
            raise TextError(f"{variable} is nowhere verified")
        text = opened.sub(variable, text)
        for begin, end, (body, _) in [call for call in calls(text, "sign") if call[2][0].startswith(f"{tag}(")]:
            text = text[:begin] + body + text[end:]
        return text

    return edit


def rename(old: str, new: str) -> Edit:
    """Take one constructor for another that has as many arguments; its own declaration goes."""

    def edit(text: str) -> str:
        text, declared = re.subn(rf"^fun {old}\([^)]*\):\s*\w+ \[data\]\.\n", "", text, flags=re.MULTILINE)
        if declared != 1:
            raise TextError(f"{old} is declared {declared} times")
        return re.sub(rf"\b{old}\(", f"{new}(", text)

    return edit


def late(mark: str) -> Edit:
    """Move what stands between ``(*{ mark *)`` and ``(*} mark *)`` to where ``(*@ mark`` is."""

    def edit(text: str) -> str:
        block = re.compile(rf"^ *\(\*{{ {mark} \*\)\n(.*?)^ *\(\*}} {mark} \*\)\n", re.MULTILINE | re.DOTALL)
        moved = "".join(block.findall(text))
        there = re.compile(rf"^ *\(\*@ {mark}\b.*\n", re.MULTILINE)
        if not moved or not there.search(text):
            raise TextError(f"no {mark}")
        return there.sub(lambda _: moved, block.sub("", text))

    return edit
