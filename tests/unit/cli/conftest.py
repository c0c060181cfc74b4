# SPDX-License-Identifier: Apache-2.0
"""The commands, on a connection to the real application."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sv2m.cli import plugin
from tests.unit.api.conftest import api  # noqa: F401 - a fixture
from tests.unit.sdk.conftest import Connected, connected  # noqa: F401 - a fixture

Run = Callable[..., Any]


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def run(connected: Connected, output: io.StringIO) -> Run:  # noqa: F811
    manager = SimpleNamespace(sdk_connection=connected.connection)
    manager.secure_migration = plugin.make_client(manager)
    app = SimpleNamespace(client_manager=manager, stdout=output, api_version={})

    def call(command: Any, *arguments: str) -> Any:
        instance = command(app, None)
        return instance.take_action(instance.get_parser("openstack").parse_args(list(arguments)))

    # For tests that change who asks.
    vars(call)["__wrapped__"] = manager
    return call
