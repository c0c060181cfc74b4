# SPDX-License-Identifier: Apache-2.0
"""Every target keeps its promises for its seeds, its kept inputs, and some changes of them; in bounded memory."""

from __future__ import annotations

import functools
import random
import tracemalloc

import pytest

from sv2m.db import engine
from tests.fuzz import target as targets
from tests.fuzz.target import Target


@functools.cache
def _loaded(name: str) -> Target:
    return targets.load(name)


@pytest.fixture(autouse=True)
def _database_of_others() -> object:
    """Targets with a database of their own leave no trace of it to other tests."""
    yield
    engine.use(None)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    return _loaded(request.param)


_ALL = pytest.mark.parametrize("target", targets.NAMES, indirect=True, ids=targets.NAMES)


@_ALL
def test_what_was_kept_is_still_refused_or_taken_rightly(target: Target, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    inputs = [*target.seeds, *(path.read_bytes() for path in targets.corpus(name))]
    tracemalloc.start()
    try:
        for data in inputs:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            target.check(data)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before <= target.memory
    finally:
        tracemalloc.stop()


@_ALL
def test_changed_seeds_break_no_promise(target: Target) -> None:
    rng = random.Random(2026)
    for _ in range(60):
        data = rng.choice(target.seeds)
        for _ in range(rng.choice((1, 2))):
            data = target.mutate(data, rng)[: target.max_bytes] if target.mutate is not None else data
        target.check(data)
