# SPDX-License-Identifier: Apache-2.0
"""What the crash matrix takes for a leftover, and what for a travelling server's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import inspection

SERVER, VOLUME, KEY = (f"{number}" * 8 + "-1111-4111-8111-111111111111" for number in range(3))
A, B = SimpleNamespace(name="a"), SimpleNamespace(name="b")
TRAVELLERS: Any = SimpleNamespace(owned=lambda: {SERVER, VOLUME, KEY}, servers=lambda: {"a": {SERVER}, "b": set()})


class Clouds:
    """Two clouds with one server, in cloud A."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: dict[str, dict[str, set[str]]] = {"a": {}, "b": {}}
        monkeypatch.setattr(inspection, "inventory", lambda side: {**self.found[side.name]})
        monkeypatch.setattr(inspection, "in_qemu", lambda side, server: iter(()))
        monkeypatch.setattr(inspection, "PATIENCE", 0)
        world: Any = SimpleNamespace(a=A, b=B)
        self._inspection = inspection.Inspection(world, TRAVELLERS)

    def leftovers(self, side: str, kind: str, thing: str) -> list[str]:
        self.found[side] = {kind: {thing}}
        return self._inspection.leftovers()


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> Clouds:
    return Clouds(monkeypatch)


OWN = [("servers", SERVER), ("volumes", VOLUME), ("project's secrets", f"/v1/secrets/{KEY}"), ("Nova's files", SERVER)]


@pytest.mark.parametrize(("kind", "thing"), OWN)
def test_what_a_server_owns_is_no_leftover_where_it_is(clouds: Clouds, kind: str, thing: str) -> None:
    assert clouds.leftovers("a", kind, thing) == []


@pytest.mark.parametrize(
    ("side", "kind", "thing"),
    [
        ("b", "servers", SERVER),
        ("b", "Nova's files", SERVER),
        ("a", "volumes", "another"),
        ("a", "readers of keys", f"/v1/secrets/{KEY} sv2m"),
        ("a", "saved states", SERVER),
        ("a", "saved states", f"{SERVER}.save"),
    ],
)
def test_what_it_left_is_found(clouds: Clouds, side: str, kind: str, thing: str) -> None:
    assert clouds.leftovers(side, kind, thing) == [f"{side}: {kind}: {thing}"]
