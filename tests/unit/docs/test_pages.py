# SPDX-License-Identifier: Apache-2.0
"""What a page of the documentation names is there: pages, headings, files, tests; and the index has every page."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.unit.docs.pages import DOC, ROOT, quoted, sections

PAGES = [ROOT / "SECURITY.md", *sorted(DOC.glob("*.md"))]
#: The first folders of paths that pages name.
_ROOMS = ("sv2m/", "tests/", "lab/", "etc/", "tools/", "formal/", "bench/")


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    broken = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if link.startswith("https://"):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual viewers make them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in sections(page.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = {name for name in quoted(page.read_text()) if name.startswith(_ROOMS) and " " not in name}
    assert sorted(name for name in named if "*" not in name and not (ROOT / name).exists()) == []


# attacks.md has a test of its own, both ways: tests/attacks/test_table.py.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "attacks.md"], ids=lambda page: page.name)
def test_every_named_test_exists(page: Path) -> None:
    missing = []
    for file, function in re.findall(r"`([a-z_/0-9]+)::([a-z0-9_]+)`", page.read_text()):
        path = ROOT / "tests" / f"{file}.py"
        if not path.exists() or function not in functions_of(path):
            missing.append(f"{file}::{function}")
    assert missing == []


def test_the_index_has_every_page() -> None:
    index = (DOC / "README.md").read_text()
    assert [page.name for page in DOC.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index] == []
