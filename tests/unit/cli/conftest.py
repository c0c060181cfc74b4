# SPDX-License-Identifier: Apache-2.0
"""The commands, on a connection to the real application."""

from tests.unit.api.conftest import api  # noqa: F401 - a fixture
from tests.unit.sdk.conftest import connected  # noqa: F401 - a fixture
