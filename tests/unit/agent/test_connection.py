# SPDX-License-Identifier: Apache-2.0
"""The agent's connection to libvirt, when that is lost."""

from __future__ import annotations

from unittest import mock

import libvirt
import pytest

from sv2m.agent.libvirt.connection import Connection
from sv2m.errors import HypervisorError


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[mock.MagicMock]:
    """Every handle that was opened, in order."""
    handles: list[mock.MagicMock] = []

    def one(_uri: str) -> mock.MagicMock:
        handles.append(mock.MagicMock())
        return handles[-1]

    monkeypatch.setattr(libvirt, "open", one)
    return handles


def test_a_lost_connection_is_closed_before_another_is_opened(opened: list[mock.MagicMock]) -> None:
    connection = Connection("test:///default")
    first = connection.handle()
    assert connection.handle() is first
    first.isAlive.return_value = False
    second = connection.handle()
    assert opened == [first, second]
    first.close.assert_called_once_with()
    second.close.assert_not_called()


def test_a_connection_that_cannot_be_watched_is_closed(opened: list[mock.MagicMock]) -> None:
    broken = mock.MagicMock()
    broken.setKeepAlive.side_effect = libvirt.libvirtError("not supported")
    with mock.patch.object(libvirt, "open", return_value=broken), pytest.raises(HypervisorError):
        Connection("test:///default").handle()
    broken.close.assert_called_once_with()
