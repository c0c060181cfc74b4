# SPDX-License-Identifier: Apache-2.0
"""``python -m formal.commit``: the commit as shipped, and each weakened version, as tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from formal.commit import maude, versions
from formal.maude.program import MaudeError

_HEAD = """# Results of the check of the commit

Written by `python -m formal.commit --write doc/formal-commit-results.md`; doc/formal-commit.md says what the words
mean. Seconds are the clock's, and the only thing here that differs from run to run."""


def main(arguments: list[str] | None = None) -> int:
    """Print the tables. :returns: 0 when every verdict is the expected one, 3 where Maude is missing."""
    parser = argparse.ArgumentParser(prog="python -m formal.commit", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only from where A is about to commit: seconds")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables to this file, too")
    options = parser.parse_args(arguments)
    lines = [_HEAD]

    def show(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    try:
        expected = [_shipped(show, options.quick), _persons(show), _weakened(show), _stuck(show)]
    except MaudeError as error:
        print(f"formal.commit: {error}", file=sys.stderr)
        return 3
    if options.write is not None:
        options.write.write_text("\n".join(lines) + "\n")
    return 0 if all(expected) else 1


def _shipped(show: Callable[[str], None], quick: bool) -> bool:
    _title(show, "As shipped", ("from", "faults", "forbidden states", "states", "without a good end", "seconds"))
    runs = [("brink", ()), ("brink", ("stolen-key",))]
    runs += [] if quick else [("brink", ("second-engine",)), ("begun", ())]
    good = True
    for start, faults in runs:
        found = maude.search(versions.SHIPPED.tables(*faults), start)
        good &= found.trace is None
        said = "none reachable" if found.trace is None else _steps(found.trace)
        stuck, seconds = "not asked", found.seconds
        if "second-engine" not in faults:
            recovery = maude.recovery(versions.SHIPPED.tables("calm", *faults), start)
            good &= not recovery.stuck
            stuck, seconds = f"{recovery.stuck} of {recovery.calm}", seconds + recovery.seconds
        show(f"| {start} | {', '.join(('ordinary', *faults))} | {said} | {found.states} | {stuck} | {seconds:.1f} |")
    return good


def _persons(show: Callable[[str], None]) -> bool:
    headings = ("from", "what is lost for good", "forbidden states", "states", "without a good end", "seconds")
    _title(show, "With people who decide, and say what is true", headings)
    found = maude.search(versions.PERSONS.tables(), "brink")
    recovery = maude.recovery(versions.PERSONS.tables("calm"), "brink")
    said = "none reachable" if found.trace is None else _steps(found.trace)
    stuck, seconds = f"{recovery.stuck} of {recovery.calm}", found.seconds + recovery.seconds
    show(f"| brink | B's host with its disk, all of B | {said} | {found.states} | {stuck} | {seconds:.1f} |")
    return found.trace is None and not recovery.stuck


def _weakened(show: Callable[[str], None]) -> bool:
    _title(show, "One thing less: something forbidden happens", ("version", "lacks", "steps", "trace", "seconds"))
    good = True
    for version in versions.WEAKENED:
        found = maude.search(version.tables(), "brink")
        good &= found.trace is not None
        trace = found.trace or ("NOT FOUND",)
        show(f"| {version.name} | {version.lacks} | {len(trace)} | {_steps(trace)} | {found.seconds:.1f} |")
    return good


def _stuck(show: Callable[[str], None]) -> bool:
    headings = ("version", "lacks", "forbidden states", "without a good end", "seconds")
    _title(show, "One thing less: some ends are not good", headings)
    good = True
    for version in versions.STUCK:
        found = maude.search(version.tables(), "brink")
        recovery = maude.recovery(version.tables("calm"), "brink")
        good &= found.trace is None and recovery.stuck > 0
        said = "none reachable" if found.trace is None else _steps(found.trace)
        stuck = f"{recovery.stuck} of {recovery.calm}"
        seconds = found.seconds + recovery.seconds
        show(f"| {version.name} | {version.lacks} | {said} | {stuck} | {seconds:.1f} |")
    return good


def _title(show: Callable[[str], None], title: str, headings: tuple[str, ...]) -> None:
    show("")
    show(f"## {title}")
    show("")
    show(f"| {' | '.join(headings)} |")
    show("|" + " --- |" * len(headings))


def _steps(trace: tuple[str, ...]) -> str:
    """The labels of the rules, those that follow each other as one."""
    counted = [(label, len(list(same))) for label, same in groupby(trace)]
    return ", ".join(label if count == 1 else f"{label} x{count}" for label, count in counted)


if __name__ == "__main__":
    sys.exit(main())
