# SPDX-License-Identifier: Apache-2.0
"""``python -m formal.maude``: both searches on the same models, side by side, as tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from formal import library
from formal.hlpsl import parse
from formal.maude.check import opinion
from formal.maude.program import MaudeError
from formal.model import Model, instantiate
from formal.report import verdict
from formal.scenarios import SCENARIOS, load, quick
from formal.search import Bounds, search
from formal.tables import line
from formal.variants import BOUNDS, SAFEGUARDS

_HEAD = """# Results of the second opinion

Written by `python -m formal.maude --write doc/formal-maude-results.md`; doc/formal.md says what the words mean. Seconds
are the processor's for Python, the clock's for Maude. The numbers of states differ: Maude tries every order of moves,
Python leaves out orders that cannot matter."""
#: Scenarios that take Maude longer than some seconds.
SLOW = ("ai+ib", "ab+ib", "ab+ab+ab")
_HEADINGS = ("model", "expected", "Python", "Maude", "Maude's steps", "states (Python)", "states (Maude)", "seconds")


@dataclass(frozen=True)
class Compared:
    """A model of which both searches are asked.

    :param expected: SAFE or UNSAFE.
    :param goals: of which one must be broken where it is UNSAFE; empty: any.
    """

    name: str
    model: Model
    expected: str
    goals: tuple[str, ...] = ()
    bounds: Bounds = BOUNDS


def known() -> Iterator[Compared]:
    """Protocols of known verdict. Only typed: Maude's variables take values of their kind."""
    for one in library.known():
        if one.typed:
            yield Compared(one.path.stem, instantiate(parse(one.path.read_text())), one.verdict, bounds=Bounds())


def shipped(slow: bool = True) -> Iterator[Compared]:
    """SV2M as shipped."""
    for scenario in quick():
        if slow or scenario.name not in SLOW:
            yield Compared(scenario.name, scenario.of(load()), "SAFE")


def weakened() -> Iterator[Compared]:
    """SV2M with one safeguard less each."""
    for one in SAFEGUARDS:
        yield Compared(one.name, SCENARIOS[one.scenario].of(one.weakened(load())), "UNSAFE", one.expected)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables. :returns: 0 when both say of every model what is expected, 3 where Maude is missing."""
    parser = argparse.ArgumentParser(prog="python -m formal.maude", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the scenarios that take longer than some seconds")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables to this file, too")
    options = parser.parse_args(arguments)
    lines = [_HEAD]

    def show(text: str) -> None:
        print(text, flush=True)
        lines.append(text)

    try:
        agreed = [
            _table(show, "Known protocols", known()),
            _table(show, "SV2M as shipped", shipped(slow=not options.quick)),
            _table(show, "One safeguard less", weakened()),
        ]
    except MaudeError as error:
        print(f"formal.maude: {error}", file=sys.stderr)
        return 3
    if options.write is not None:
        options.write.write_text("\n".join(lines) + "\n")
    return 0 if all(agreed) else 1


def _table(show: Callable[[str], None], title: str, models: Iterable[Compared]) -> bool:
    show(f"\n## {title}\n")
    show(line(_HEADINGS))
    show(line(tuple("---" for _ in _HEADINGS)))
    agreed = True
    for one in models:
        python, maude = search(one.model, one.bounds), opinion(one.model)
        said = "SAFE" if maude.safe else f"UNSAFE: {maude.kind} {maude.goal}"
        good = verdict(python) == one.expected == said.partition(":")[0]
        good &= maude.safe or not one.goals or maude.goal in one.goals
        agreed &= good
        steps = "" if maude.safe else str(len(maude.trace))
        seconds = f"{python.seconds:.2f}, {maude.seconds:.2f}"
        said += "" if good else " (NOT EXPECTED)"
        show(
            line((one.name, one.expected, verdict(python), said, steps, str(python.states), str(maude.states), seconds))
        )
    return agreed


if __name__ == "__main__":
    sys.exit(main())
