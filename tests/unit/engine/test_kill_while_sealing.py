# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the source's engine while the server is being sealed: a new engine on the same rows goes on."""

from __future__ import annotations

import pytest

from tests.unit.engine.leaving import Source
from tests.unit.engine.test_source_kills import kill_everywhere


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_kill_while_sealing(source: Source, after_effect: bool) -> None:
    kill_everywhere(source, "transferring", after_effect=after_effect)
