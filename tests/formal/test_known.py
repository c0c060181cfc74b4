# SPDX-License-Identifier: Apache-2.0
"""The search says of known protocols what is known of them."""

from __future__ import annotations

import itertools

import pytest

from formal import library
from formal.hlpsl import parse, render
from formal.knowledge import Matching
from formal.model import instantiate
from formal.report import summary, trace_lines, verdict
from formal.search import Bounds, search

KNOWN = list(library.known())
BY_NAME = {one.path.stem: one for one in KNOWN if one.typed}


@pytest.mark.parametrize("known", KNOWN, ids=lambda one: f"{one.path.stem}-{'typed' if one.typed else 'untyped'}")
def test_verdict(known: library.Known) -> None:
    assert verdict(known.search()) == known.verdict


def test_lowes_attack_is_the_one_that_he_published() -> None:
    result = BY_NAME["nspk"].search()
    assert list(trace_lines(result.trace)) == [
        "i -> (a,3): start",
        "(a,3) -> i: {Na_3.a}_ki",
        "i -> (b,2): {Na_3.a}_kb",
        "(b,2) -> i: {Na_3.Nb_2}_ka",
        "i -> (a,3): {Na_3.Nb_2}_ka",
        "(a,3) -> i: {Nb_2}_ki",
    ]


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - {"iso_9798_3_three_pass", "iso_9798_3_two_pass"}))
def test_reductions_change_no_verdict(name: str) -> None:
    known = BY_NAME[name]
    model = instantiate(parse(known.path.read_text()))
    for eager, symmetry in itertools.product((True, False), repeat=2):
        assert verdict(search(model, Bounds(eager=eager, symmetry=symmetry))) == known.verdict


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_what_is_printed_is_what_was_read(name: str) -> None:
    specification = parse(BY_NAME[name].path.read_text())
    assert parse(render(specification)) == specification


def test_a_limit_is_no_verdict() -> None:
    model = instantiate(parse(BY_NAME["nspk_lowe"].path.read_text()))
    result = search(model, Bounds(states=10))
    assert verdict(result) == "INCONCLUSIVE"
    assert not result.safe
    assert "LIMIT_REACHED" in summary(result, "nspk_lowe", Bounds(states=10))


def test_avispas_form() -> None:
    model = instantiate(parse(BY_NAME["nspk"].path.read_text()))
    text = summary(search(model), "nspk.hlpsl", Bounds(Matching()))
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert titles == ["SUMMARY", "DETAILS", "PROTOCOL", "GOAL", "BACKEND", "STATISTICS", "ATTACK TRACE"]
    assert text.startswith("SUMMARY\n  UNSAFE\n")
