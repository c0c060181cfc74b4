# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.faults`: run the matrix, or a part of it, and print its table."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab.cloud import Lab
from lab.down import stop_all
from lab.progress import Progress
from lab.session import LabSession
from lab.up import exclusive, up
from tests.cloud.world import World
from tests.faults import disks, matrix, striking, table
from tests.faults.hurry import hurried
from tests.faults.runner import Runner


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when every case that was run passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("patterns", nargs="*", help="shell patterns of cases, as 'kill-qemu@source:*'; default: all")
    parser.add_argument("--dir", default="/var/tmp/sv2m-faults", help="the lab's directory, and where results are kept")
    parser.add_argument("--list", action="store_true", help="only print the cases")
    parser.add_argument("--company", action="store_true", help="the same again, each while a second migration runs")
    parser.add_argument("--again", action="store_true", help="also those that have passed already")
    parser.add_argument("--minutes", type=float, help="begin no case after so many minutes")
    parser.add_argument("--missing", type=Path, metavar="FILE", help="only those that did not pass in FILE's table")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put all results into FILE's table, over its older")
    parser.add_argument("--keep", action="store_true", help="leave the clouds running")
    options = parser.parse_args(arguments)
    cases = matrix.draw()
    if options.company:
        cases = matrix.accompanied(cases)
    chosen = matrix.select(cases, options.patterns)
    if options.missing:
        shown = table.read(options.missing)
        chosen = [case for case in chosen if case.name not in shown or shown[case.name].outcome != "passed"]
    if options.list:
        print(*(f"{case.name:44} {case.circumstances}" for case in chosen), sep="\n")
        return 0
    directory = Path(options.dir)
    directory.mkdir(parents=True, exist_ok=True)
    results = table.Results(directory / "faults.jsonl")
    done = {} if options.again else {name for name, one in results.read().items() if one.outcome == "passed"}
    left = [case for case in chosen if case.name not in done]
    print(f"{len(cases)} cases, {len(chosen)} chosen, {len(chosen) - len(left)} of them passed before", flush=True)
    failed = 0
    if left:
        lab = Lab.load(directory)
        failed = _run(lab, left, results, options.minutes)
        if not options.keep:
            stop(lab)
    if options.write:
        table.write(options.write, table.markdown(matrix.draw(), {**table.read(options.write), **results.read()}))
    return 1 if failed else 0


def stop(lab: Lab) -> None:
    """End both clouds."""
    with exclusive(lab):
        stop_all(lab)
        (lab.directory / "up").unlink(missing_ok=True)


def _run(lab: Lab, cases: Sequence[matrix.Case], results: table.Results, minutes: float | None) -> int:
    began = time.monotonic()
    failed = 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    up(lab, Progress())
    session = LabSession(lab)
    # What a run that was killed has left broken, or lying about.
    striking.mend(session)
    World(session).tidy()
    disks.bind(session)
    world = World(session)
    with hurried(world):
        runner = Runner(world, lambda text: print(f"    {text}", file=sys.stderr, flush=True))
        try:
            for case in cases:
                if minutes is not None and time.monotonic() - began > minutes * 60:
                    break
                if runner.spoilt:
                    print("the same command goes on with what is left, once the clouds are mended", file=sys.stderr)
                    break
                outcome = runner.run(case)
                results.add(outcome)
                failed += outcome.outcome != "passed"
                print(outcome.line(), flush=True)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on with what is left", file=sys.stderr)
        if not runner.spoilt:
            runner.close()
    return failed


if __name__ == "__main__":
    sys.exit(main())
