# SPDX-License-Identifier: Apache-2.0
"""What a fuzz target is."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
#: Changes bytes in a way that the parser's structure suggests.
Mutator = Callable[[bytes, random.Random], bytes]


class BrokenPromiseError(AssertionError):
    """The parser took what it must not take, or gave back what nobody signed."""


@dataclass(frozen=True)
class Target:
    """A parser and what it promises.

    :param parser: what is fuzzed, for readers of the table.
    :param check: gives the parser any bytes. Returns when the parser refused them as documented, or took them
        rightly; raises what else comes.
    :param seeds: where mutation begins.
    :param modules: packages whose branches are counted as coverage.
    :param mutate: None where changed bytes get far enough.
    :param max_bytes: of one input.
    :param memory: bytes of Python objects that one input may make the parser hold at a time.
    """

    parser: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    modules: tuple[str, ...]
    mutate: Mutator | None = None
    max_bytes: int = 16 << 10
    memory: int = 4 << 20


#: Name -> module of ``targets``, which has a function ``make() -> Target``.
NAMES = (
    "message",
    "signature",
    "trailer",
    "binding",
    "manifest",
    "needs",
    "channel",
    "marks",
    "records",
    "segment",
    "wrapped_key",
    "descriptor",
    "save_header",
    "gateway",
    "gateway_answer",
    "conductor",
    "rest",
    "nova_filter",
    "est",
    "certificate",
    "revocation",
    "anchors",
    "summary",
    "audit_log",
    "listing",
    "evidence",
    "zip_file",
    "timestamp",
)


def load(name: str) -> Target:
    """The target of this name."""
    made: Target = importlib.import_module(f"tests.fuzz.targets.{name}").make()
    return made


def corpus(name: str) -> list[Path]:
    """The kept inputs of a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def promise(kept: bool, why: str) -> None:
    """:raises BrokenPromiseError: it was not kept."""
    if not kept:
        raise BrokenPromiseError(why)


def pick(rng: random.Random, choices: Iterable[bytes]) -> bytes:
    """One of them."""
    return rng.choice(tuple(choices))
