# SPDX-License-Identifier: Apache-2.0
"""``python -m formal.proverif``: the models as shipped and each weakened variant, as tables, where ProVerif is."""

from __future__ import annotations

import argparse
import sys

from formal.proverif import program
from formal.proverif import text as t
from formal.proverif.variants import VARIANTS

_NOT_RUN = (
    "ProVerif is not on the path, and so not run: {queries} queries about {models} models and {variants} weakened "
    "variants. It is on opam (opam install proverif) and at https://proverif.inria.fr; Debian 12 and PyPI have none."
)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables.

    :returns: 0 when every verdict is the expected one or ProVerif is not there; 1 when one is not; 3 when ProVerif did
        not understand.
    """
    names = [*t.MODELS, *(variant.name for variant in VARIANTS)]
    parser = argparse.ArgumentParser(prog="python -m formal.proverif", description=__doc__)
    parser.add_argument("--seconds", type=float, default=900, help="to give each model (%(default)s)")
    parser.add_argument("--text", choices=names, help="print this model or variant instead, as ProVerif takes it")
    options = parser.parse_args(arguments)
    if options.text is not None:
        made = {variant.name: variant for variant in VARIANTS}
        print(made[options.text].text() if options.text in made else t.load(options.text))
        return 0
    proverif = program.installed()
    if proverif is None:
        queries = sum(len(t.expected(t.load(model))) for model in t.MODELS)
        print(_NOT_RUN.format(queries=queries, models=len(t.MODELS), variants=len(VARIANTS)))
        return 0
    try:
        good = [_shipped(proverif, options.seconds), _weakened(proverif, options.seconds)]
    except program.ProverifError as error:
        print(f"formal.proverif: {error}", file=sys.stderr)
        return 3
    return 0 if all(good) else 1


def _shipped(proverif: str, seconds: float) -> bool:
    _title(f"As shipped, by ProVerif {program.version(proverif)}", ("model", "query", "expected", "found", "seconds"))
    good = True
    for model in t.MODELS:
        text = t.load(model)
        found = program.run(proverif, text, seconds)
        for at, (query, expected) in enumerate(t.expected(text).items()):
            said = found.verdicts[query]
            good &= said == expected
            took = "" if at else f"{found.seconds:.1f}"
            print(f"| {model} | {query} | {expected} | {said}{_remark(said == expected)} | {took} |", flush=True)
    return good


def _weakened(proverif: str, seconds: float) -> bool:
    _title("One safeguard less", ("safeguard", "taken out", "model", "query", "expected", "found", "seconds"))
    good = True
    for variant in VARIANTS:
        found = program.run(proverif, variant.text(), seconds)
        said = found.verdicts[variant.broken]
        good &= said == "false"
        row = (variant.name, variant.lacks, variant.model, variant.broken, "false", said + _remark(said == "false"))
        print(f"| {' | '.join(row)} | {found.seconds:.1f} |", flush=True)
    return good


def _remark(expected: bool) -> str:
    return "" if expected else " (NOT EXPECTED)"


def _title(title: str, headings: tuple[str, ...]) -> None:
    print(f"\n## {title}\n\n| {' | '.join(headings)} |\n|{' --- |' * len(headings)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
