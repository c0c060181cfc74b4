# SPDX-License-Identifier: Apache-2.0
"""``doc/fuzzing.md`` names every target, in both of its tables, and every regression test."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fuzz import target as targets
from tests.fuzz import test_findings as findings

TEXT = (Path(__file__).parents[2] / "doc" / "fuzzing.md").read_text()


def test_every_target_says_what_it_promises_and_has_its_numbers() -> None:
    promised = TEXT.partition("## What counts as found")[0]
    assert re.findall(r"(?m)^\| `(\w+)` \|(?: [^|]+ \|){3}$", promised) == list(targets.NAMES)
    assert re.findall(r"(?m)^\| `(\w+)` \|(?: [\d,]+ \|){5}$", TEXT) == list(targets.NAMES)


def test_every_finding_is_told() -> None:
    named = set(re.findall(r"fuzz/test_findings::(\w+)", TEXT))
    assert named == {name for name in vars(findings) if name.startswith("test_")}
