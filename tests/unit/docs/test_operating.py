# SPDX-License-Identifier: Apache-2.0
"""``doc/operating.md`` against the code: every phase, program, option and command that it names is there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from sv2m import conf as sv2m_conf
from sv2m.protocol import states
from tests.unit.docs.pages import ROOT, first_cells, quoted, sections, text_of

PAGE = text_of("operating.md")
SECTIONS = sections(PAGE)
PHASES = {
    "source": SECTIONS["Phases"].partition("At B (")[0],
    "destination": SECTIONS["Phases"].partition("At B (")[2],
}
PAGES = ("operating.md", "installing.md", "security.md", "evidence.md", "errors.md", "api.md")


@pytest.mark.parametrize("role", sorted(states.TABLES))
def test_every_phase_has_a_row(role: str) -> None:
    described = {phase for cell in first_cells(PHASES[role]) for phase in quoted(cell)}
    assert described == set(states.TABLES[role])


@pytest.mark.parametrize("role", sorted(states.TABLES))
def test_what_never_ends_by_itself_is_said_of_the_phases_that_cannot_fail(role: str) -> None:
    """A phase from which no failure leads away is left only by doing what it says."""
    rows = {
        phase: line
        for line in PHASES[role].splitlines()
        if line.startswith("| `")
        for phase in quoted(line.split("|")[1])
    }
    never = {phase for phase, line in rows.items() if "never" in line.split("|")[3]}
    working = {phase for phase, row in states.TABLES[role].items() if row and phase not in states.FINAL[role]}
    last_word = {"closing", "telling", "reporting", "inquiring"} if role == "source" else {"none", "closing", "undoing"}
    stays = {phase for phase in working if "Failed" not in states.TABLES[role][phase]}
    assert never - {"undoing"} == stays - last_word


def test_every_program_has_a_row_where_it_runs_and_how_it_stops() -> None:
    scripts = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])
    services = {name for name in scripts if name not in ("sv2m-manage", "sv2m-status")}
    for heading in ("What runs where", "Restarting"):
        assert services <= {name for cell in first_cells(SECTIONS[heading]) for name in quoted(cell)}
    assert sorted(name for name in scripts if name not in PAGE) == []


def options(text: str) -> Iterator[tuple[str, str]]:
    """Each ``[group] option`` of a page; further options of the same group may follow after commas."""
    for group, names in re.findall(r"`\[(\w+)\] ([a-z_, ]+)`", text):
        yield from ((group, name) for name in re.split(r", *", names))


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_is_named_is_one(page: str) -> None:
    conf = sv2m_conf.register(cfg.ConfigOpts())
    conf([], default_config_files=[], default_config_dirs=[])
    own = {"agent", "api", "cmm", "engine", "evidence", "gateway", "km", "lmm", "mam"}
    named = sorted((group, name) for group, name in options(text_of(page)) if group in own)
    assert [f"[{group}] {name}" for group, name in named if name not in conf[group]] == []


def test_the_defaults_that_are_named_are_the_defaults() -> None:
    conf = sv2m_conf.register(cfg.ConfigOpts())
    conf([], default_config_files=[], default_config_dirs=[])
    found = re.findall(r"`\[(\w+)\] ([a-z_]+)` \((\d+)\)", PAGE)
    assert len(found) > 10
    assert [one for one in found if str(conf[one[0]][one[1]]) != one[2]] == []
