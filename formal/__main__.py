# SPDX-License-Identifier: Apache-2.0
"""The command line: ``python -m formal --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from formal.hlpsl import HlpslError, parse
from formal.knowledge import Matching
from formal.model import instantiate
from formal.report import summary, verdict
from formal.search import Bounds, search


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 when every verdict is the expected one."""
    parser = argparse.ArgumentParser(prog="python -m formal", description="Check the protocol's formal model.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="search one HLPSL file; 0: SAFE, 1: UNSAFE, 2: limit reached")
    check.add_argument("file", type=Path)
    check.add_argument("--root", help="the composed role to run, when not the one that the file ends with")
    check.add_argument("--untyped", action="store_true", help="a variable takes whatever the intruder holds")
    check.add_argument("--by-origin", action="store_true", help="a variable takes only what was made for its name")
    check.add_argument("--no-eager", action="store_true", help="search all orders of independent moves")
    check.add_argument("--no-symmetry", action="store_true", help="let equal instances begin in any order")
    check.add_argument("--seconds", type=float, help="give up after so long")
    options = parser.parse_args(arguments)
    bounds = Bounds(
        Matching(typed=not options.untyped, by_origin=options.by_origin),
        eager=not options.no_eager,
        symmetry=not options.no_symmetry,
        seconds=options.seconds,
    )
    try:
        model = instantiate(parse(options.file.read_text()), options.root)
        result = search(model, bounds)
    except (HlpslError, OSError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 3
    print(summary(result, str(options.file), bounds))
    return {"SAFE": 0, "UNSAFE": 1}.get(verdict(result), 2)


if __name__ == "__main__":
    sys.exit(main())
