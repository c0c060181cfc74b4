# SPDX-License-Identifier: Apache-2.0
"""Fuzzes targets for their share of the time, or for so many inputs, and prints a table.

    python -m tests.fuzz --seconds 600                    all targets, ten minutes together
    python -m tests.fuzz --runs 1000000 channel needs     two targets, a million inputs each
    python -m tests.fuzz --keep DIRECTORY --renew needs   and keep in corpus/ some inputs that reach far

Ends with 1 when anything was found; the findings stay in the directory that is named then.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import target as targets

#: Resident memory of the whole process, MiB: the interpreter, lxml, SQLAlchemy and what one input may take.
_MEMORY = 768
#: Inputs that one process runs: the mutator's own parser keeps every name that it ever read, and grows with them.
_AT_ONCE = 250_000
#: Files, and bytes of each, that are kept in corpus/.
_KEPT, _KEPT_BYTES = 36, 8 << 10


@dataclass(frozen=True)
class Outcome:
    """Of one target."""

    name: str
    runs: int
    #: Inputs a second, of this command's own.
    rate: float
    corpus: int
    memory: int
    findings: list[Path]

    def line(self) -> str:
        return (
            f"{self.name:<16}{self.runs:>10}{self.rate:>9.0f}{self.corpus:>8}{self.memory:>9}{len(self.findings):>10}"
        )


_HEAD = f"{'target':<16}{'runs':>10}{'runs/s':>9}{'corpus':>8}{'MiB':>9}{'findings':>10}"


def fuzz(name: str, work: Path, seconds: float, runs: int | None) -> Outcome:
    """Run one target until its time or its inputs are used up, in one process after the other.

    :param runs: together with those that were made in ``work`` before.
    """
    begin = time.monotonic()
    done, memory = _counted(work)
    before = done
    while True:
        spent = time.monotonic() - begin
        left = runs - done if runs is not None else None
        if (runs is None and spent >= seconds) or (left is not None and left <= 0):
            break
        limit = [f"-runs={min(_AT_ONCE, left or _AT_ONCE)}"]
        if left is None:
            limit.append(f"-max_total_time={max(1, round(seconds - spent))}")
        command = [sys.executable, "-m", "tests.fuzz.run", name, str(work), f"-rss_limit_mb={_MEMORY}", *limit]
        with (work / "log").open("a") as log:
            code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        last, (done, memory) = done, _counted(work)
        if done == last:
            raise SystemExit(f"{name} does not run (exit {code}); see {work / 'log'}")
    findings = sorted(path for path in (work / "findings").iterdir() if path.suffix != ".txt")
    corpus = len(list((work / "corpus").iterdir()))
    return Outcome(name, done, (done - before) / (time.monotonic() - begin), corpus, memory, findings)


def _counted(work: Path) -> tuple[int, int]:
    """Inputs, and the most memory in MiB, of all runs whose ends are in the log."""
    text = (work / "log").read_text(errors="replace") if (work / "log").exists() else ""
    executed = re.findall(r"stat::number_of_executed_units: (\d+)", text)
    peak = re.findall(r"stat::peak_rss_mb: +(\d+)", text)
    return sum(map(int, executed)), max(map(int, peak), default=0)


def renew(name: str, work: Path) -> None:
    """Replace corpus/NAME by some of the inputs that were found to reach what no other did."""
    found = [path for path in (work / "corpus").iterdir() if path.stat().st_size <= _KEPT_BYTES]
    found.sort(key=lambda path: (path.stat().st_size, path.name))
    # Evenly over the sizes, so that the long ones that get far are among them.
    step = max(1, -(-len(found) // _KEPT))
    target = targets.CORPUS / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in found[::-1][::step]:
        shutil.copy(path, target / path.name[:16])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(targets.NAMES))
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--runs", type=int, help="inputs for each target, instead of a time")
    parser.add_argument("--keep", type=Path, help="directory to work in; goes on from what is there, and counts on")
    parser.add_argument("--renew", action="store_true", help="renew corpus/ from what was reached")
    options = parser.parse_args()
    names = options.targets or list(targets.NAMES)
    if unknown := set(names) - set(targets.NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    base = options.keep or Path(tempfile.mkdtemp(prefix="sv2m-fuzz-"))
    found: list[Path] = []
    sys.stdout.write(_HEAD + "\n")
    for name in names:
        work = base / name
        work.mkdir(parents=True, exist_ok=True)
        outcome = fuzz(name, work, options.seconds / len(names), options.runs)
        found += outcome.findings
        sys.stdout.write(outcome.line() + "\n")
        sys.stdout.flush()
        if options.renew:
            renew(name, work)
    if not found and options.keep is None:
        shutil.rmtree(base)
    sys.stdout.writelines(f"found: {path}\n" for path in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
