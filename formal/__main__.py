# SPDX-License-Identifier: Apache-2.0
"""The command line: ``python -m formal --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from formal.hlpsl import HlpslError, parse, render
from formal.knowledge import Matching
from formal.model import instantiate
from formal.report import summary, verdict
from formal.scenarios import MODEL, SCENARIOS, load
from formal.search import Bounds, search
from formal.tables import Tables, weakened
from formal.variants import BOUNDS, SAFEGUARDS, attack

_HEAD = """# Results of the formal check

Written by `python -m formal --write doc/formal-results.md`; doc/formal.md says what the words mean. Seconds are of
processor time, and the only thing here that differs from run to run."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 when every verdict is the expected one."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "check":
                return _check(options)
            case "variant":
                return _variant(options)
            case "scenario":
                model = SCENARIOS[options.name].of(load())
                print(summary(search(model, BOUNDS), f"{MODEL.name}, {options.name}", BOUNDS))
                return 0
            case command:
                return _tables(command, options)
    except (HlpslError, OSError) as error:
        print(f"formal: {error}", file=sys.stderr)
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m formal", description="Check the protocol's formal model. Without a command: everything."
    )
    parser.add_argument("--quick", action="store_true", help="leave out what takes more than half a minute")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables to this file, too")
    commands = parser.add_subparsers(dest="command")
    check = commands.add_parser("check", help="search one HLPSL file; exits with 0: SAFE, 1: UNSAFE, 2: limit reached")
    check.add_argument("file", type=Path)
    check.add_argument("--root", help="the composed role to run, when not the one that the file ends with")
    check.add_argument("--untyped", action="store_true", help="a variable takes whatever the intruder holds")
    check.add_argument("--by-origin", action="store_true", help="a variable takes only what was made for its name")
    check.add_argument("--no-eager", action="store_true", help="search all orders of independent moves")
    check.add_argument("--no-symmetry", action="store_true", help="let equal instances begin in any order")
    check.add_argument("--own", type=int, default=1, help="how many values of each type the intruder makes")
    check.add_argument("--seconds", type=float, help="give up after so long")
    commands.add_parser("known", help="table: protocols with known verdicts")
    commands.add_parser("protocol", help="table: SV2M under every scenario")
    commands.add_parser("variants", help="table: SV2M with one safeguard less each")
    commands.add_parser("layers", help="table: SV2M with one part of one message less each")
    scenario = commands.add_parser("scenario", help="SV2M under one scenario, in AVISPA's form")
    scenario.add_argument("name", choices=list(SCENARIOS))
    variant = commands.add_parser("variant", help="one variant's attack, in AVISPA's form")
    variant.add_argument("name", choices=[safeguard.name for safeguard in SAFEGUARDS])
    variant.add_argument("--text", action="store_true", help="the variant itself, as HLPSL")
    return parser


def _check(options: argparse.Namespace) -> int:
    bounds = Bounds(
        Matching(typed=not options.untyped, by_origin=options.by_origin),
        eager=not options.no_eager,
        symmetry=not options.no_symmetry,
        seconds=options.seconds,
    )
    result = search(instantiate(parse(options.file.read_text()), options.root, options.own), bounds)
    print(summary(result, str(options.file), bounds))
    return {"SAFE": 0, "UNSAFE": 1}.get(verdict(result), 2)


def _variant(options: argparse.Namespace) -> int:
    if options.text:
        print(render(weakened(options.name)))
        return 0
    safeguard = next(one for one in SAFEGUARDS if one.name == options.name)
    print(summary(attack(safeguard, load()), f"{MODEL.name} without: {safeguard.name}", BOUNDS))
    return 0


def _tables(command: str | None, options: argparse.Namespace) -> int:
    lines = [_HEAD]

    def show(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    tables = Tables(show)
    if command in (None, "known"):
        tables.known()
    if command in (None, "protocol"):
        tables.protocol(with_long=not options.quick)
    if command in (None, "variants"):
        tables.variants()
    if command in (None, "layers"):
        tables.layers()
    if options.write is not None:
        options.write.write_text("\n".join(lines) + "\n")
    return 0 if tables.as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
