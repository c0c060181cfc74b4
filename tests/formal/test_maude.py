# SPDX-License-Identifier: Apache-2.0
"""Maude says of the same specification what the search in Python says: the quick part of ``python -m formal.maude``."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from formal.hlpsl import HlpslError, parse
from formal.maude import __main__ as second
from formal.maude.check import opinion, reachable
from formal.maude.export import module, rule
from formal.maude.program import MaudeError, maude
from formal.model import instantiate
from formal.report import verdict
from formal.scenarios import SCENARIOS, load
from formal.search import search


def each(models: Iterable[second.Compared]) -> object:
    return pytest.mark.parametrize("compared", list(models), ids=lambda one: one.name)


@each(second.known())
def test_known_protocols(compared: second.Compared) -> None:
    assert opinion(compared.model).safe == (compared.expected == "SAFE")


@each(second.shipped(slow=False))
def test_shipped(compared: second.Compared) -> None:
    assert opinion(compared.model).safe
    assert search(compared.model, compared.bounds).safe


@each(second.weakened())
def test_without_a_safeguard(compared: second.Compared) -> None:
    found = opinion(compared.model)
    assert found.goal in compared.goals
    assert found.trace
    assert verdict(search(compared.model, compared.bounds)) == "UNSAFE"


def test_both_ends_of_a_migration_are_reached() -> None:
    """A protocol that gets stuck is safe, too."""
    model = SCENARIOS["ab"].of(load())
    assert reachable(model, source="5", target="7")  # resumed at B, removed at A
    assert reachable(model, source="6", target="8")  # refused after the Release
    assert not reachable(model, source="5", target="8")  # and never one of each


def test_lowes_attack_is_found_step_by_step() -> None:
    nspk = next(one for one in second.known() if one.name == "nspk")
    found = opinion(nspk.model)
    assert (found.kind, found.goal) == ("secrecy_of", "snb")
    labels = [
        rule(role.name, step.label) for role in nspk.model.specification.roles.values() for step in role.transitions
    ]
    assert set(found.trace) <= set(labels)


def test_sets_are_refused_and_not_left_out() -> None:
    text = """
    role one (A: agent, S: text set, Snd, Rcv: channel(dy)) played_by A def=
      local State: nat, N: text
      init State := 0
      transition
        a. State = 0 /\\ Rcv(N') /\\ not(in(N', S)) =|> State' := 1 /\\ S' := cons(N', S)
    end role
    role environment () def=
      local S: text set, SA, RA: channel(dy)
      const a, b: agent
      init S := {}
      intruder_knowledge = {a, b}
      composition one(a, S, SA, RA)
    end role
    goal
    end goal
    environment()
    """
    with pytest.raises(HlpslError, match="sets"):
        module(instantiate(parse(text)))


def test_a_model_that_maude_only_half_understands_is_no_verdict() -> None:
    text = module(SCENARIOS["ab"].of(load())).replace("fire(", "fires(", 1)
    with pytest.raises(MaudeError, match="did not understand"), maude(text) as (say, hear):
        say.write("search [1] begin =>* broken(Kind:Qid, Goal:Qid) .\nquit\n")
        say.flush()
        hear.read()
