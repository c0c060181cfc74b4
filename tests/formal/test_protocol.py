# SPDX-License-Identifier: Apache-2.0
"""SV2M as shipped holds what it promises; each weakened variant does not: the quick part of ``python -m formal``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from formal import edit, layers
from formal.hlpsl import HlpslError, parse, render
from formal.model import instantiate
from formal.report import verdict
from formal.scenarios import SCENARIOS, load
from formal.search import search
from formal.variants import BOUNDS, SAFEGUARDS, attack

QUICK = ("ab", "ab+ab", "ab+ba", "ai+judge", "ib+judge", "ib+judge of VM", "ab+ai", "ai+ib")


@pytest.mark.parametrize("name", QUICK)
def test_safe(name: str) -> None:
    assert search(SCENARIOS[name].of(load()), BOUNDS).safe


def test_nothing_in_the_model_is_never_reached() -> None:
    """A protocol that gets stuck is safe, too."""
    model = load()
    fired = set()
    for name in ("ab", "ai+judge", "ib+judge", "ib+judge of VM"):
        fired |= search(SCENARIOS[name].of(model), BOUNDS).fired
    assert fired == {(role.name, step.label) for role in model.roles.values() for step in role.transitions}


def test_the_file_itself_is_a_complete_specification() -> None:
    assert parse(render(load())) == load()
    assert search(instantiate(load()), BOUNDS).safe


@pytest.mark.parametrize("name", ("ab", "ab+ab", "ab+ba", "ai+judge"))
def test_reductions_change_no_verdict(name: str) -> None:
    model = SCENARIOS[name].of(load())
    assert search(model, replace(BOUNDS, matching=replace(BOUNDS.matching, by_origin=False))).safe
    if name != "ab+ab":
        assert search(model, replace(BOUNDS, eager=False, symmetry=False)).safe


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda one: one.name)
def test_without_a_safeguard_there_is_an_attack(safeguard) -> None:
    result = attack(safeguard, load())
    assert verdict(result) == "UNSAFE"
    assert result.violation is not None
    assert result.violation.fact.goal in safeguard.expected
    # Not because of what the scenario is: with the safeguard nothing happens there.
    assert search(SCENARIOS[safeguard.scenario].of(load()), BOUNDS).safe


def test_a_part_that_is_needed_by_itself() -> None:
    scenarios = (SCENARIOS["ab"], SCENARIOS["ab+ab"])
    finding, how = layers._without(edit.drop("tokenab", "nonce_b")(load()), scenarios)
    assert (finding, how.split(":")[0]) == (layers.ATTACK, "ab+ab")
    assert layers._without(edit.drop("tokenab", "offer_digest")(load()), scenarios[:1])[0] == layers.STUCK  # no judge
    with pytest.raises(HlpslError, match="cannot be learned"):
        instantiate(edit.drop("envelope", "vmk.cipher_value")(load()))


def test_an_edit_that_finds_nothing_says_so() -> None:
    with pytest.raises(HlpslError, match="no offer has"):
        edit.drop("offer", "nonce_a")(load())
