# SPDX-License-Identifier: Apache-2.0
"""``doc/attacks.md`` against the tests: what it names is there, and what is there it names."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "doc" / "attacks.md").read_text()
NAMED = sorted(set(re.findall(r"`([a-z_/]+::[a-z0-9_]+)`", TEXT)))


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 150
    missing = []
    for name in NAMED:
        file, function = name.split("::")
        path = TESTS / f"{file}.py"
        if not path.exists() or function not in functions_of(path):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("directory", ["attacks"])
def test_every_attack_is_named(directory: str) -> None:
    there = {
        f"{directory}/{path.stem}::{name}"
        for path in (TESTS / directory).glob("test_*.py")
        if path != Path(__file__)
        for name in functions_of(path)
    }
    assert sorted(there - set(NAMED)) == []


def test_every_row_is_played_or_says_that_it_is_not() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| attack |")]
    assert len(rows) > 60
    assert [row for row in rows if "::" not in row and "*not there yet*" not in row] == []


def test_what_the_page_names_runs_with_the_suite() -> None:
    """All but the one that it says is left to a target of its own."""
    runs = (TESTS.parent / "tools" / "run-tests").read_text().replace("$faults", "tests/agent/test_faults.py")
    words = runs.replace("$restart", "tests/agent/test_restart.py").split("exec ")[-1].split()
    chosen = [word.removeprefix("tests/").replace(".py", "") for word in words if word.startswith("tests/")]
    left = [name for name in NAMED if not any(f"{name}::".startswith((f"{one}/", f"{one}::")) for one in chosen)]
    assert left == re.findall(r"but `([a-z_/]+::[a-z0-9_]+)`, which is long", TEXT)
