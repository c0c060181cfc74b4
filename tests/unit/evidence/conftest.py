# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.unit.evidence.court import Court


@pytest.fixture(scope="session")
def court(tmp_path_factory: pytest.TempPathFactory) -> Court:
    return Court(tmp_path_factory.mktemp("court"))
