# SPDX-License-Identifier: Apache-2.0
"""Every command that the documentation tells somebody to type is one."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.docs.pages import DOC, ROOT

PAGES = [ROOT / "README.rst", ROOT / "SECURITY.md", *sorted(DOC.glob("*.md"))]
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
OPENSTACK = {
    name.removeprefix("secure_migration_").replace("_", " ") for name in ENTRY_POINTS["openstack.secure_migration.v1"]
}


def code(page: Path) -> Iterator[str]:
    """What is meant to be typed: between backticks, and lines that are set in."""
    text = page.read_text()
    yield from re.findall(r"`+([^`]+)`+", text)
    yield from re.findall(r"^(?: {4}|\t)\s*(.+)$", text, re.MULTILINE)


def commands(page: Path, name: str) -> set[str]:
    """The words behind ``name``, as long as they are words."""
    found = set()
    for piece in code(page):
        for words in re.findall(rf"\b{name} ((?:[a-z]+\b ?)+)", piece.replace("\n", " ")):
            found.add(words.strip())
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_openstack_commands(page: Path) -> None:
    unknown = {
        words
        for words in commands(page, "secure migration")
        if not any(words == known or words.startswith(f"{known} ") for known in OPENSTACK)
    }
    # `secure migration peer create / set`: the group alone, before a slash.
    assert sorted(unknown - {known.split()[0] for known in OPENSTACK}) == []


@functools.cache
def actions() -> dict[str, set[str]]:
    """What sv2m-manage can do, by group, as its help says; asked in a process of its own, for its threads."""
    asking = (
        "import sys\nfrom sv2m.cmd import manage\nfor group in ('', *sys.argv[1:]):\n"
        "    try:\n        manage.main([group, '--help'] if group else ['--help'])\n"
        "    except SystemExit:\n        print('----')\n"
    )
    groups = ("db", "certificate", "audit", "evidence")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", asking, *groups],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = [re.findall(r"\{([a-z,]+)\}", part.partition("options:")[0]) for part in done.stdout.split("----")]
    assert said[0] == [",".join(groups)], done.stdout
    return {group: set(found[-1].split(",")) for group, found in zip(groups, said[1:], strict=False)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_managers_commands(page: Path) -> None:
    unknown = []
    for words in sorted(commands(page, "sv2m-manage")):
        group, _, rest = words.partition(" ")
        if group not in actions() or (rest and rest.split()[0] not in actions()[group]):
            unknown.append(words)
    assert unknown == []
