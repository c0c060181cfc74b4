# SPDX-License-Identifier: Apache-2.0
"""A disk may be as large as it likes, if what is on it can be sent: looked at before its first byte is."""

from __future__ import annotations

import pytest

from sv2m.agent.source import _check_travels
from sv2m.errors import ServerNotMovable
from sv2m.protocol.plan import FIRST_PASS_SEGMENTS, MAX_SEGMENT

MOST = FIRST_PASS_SEGMENTS * MAX_SEGMENT


class Disk:
    def __init__(self, size: int, data: int) -> None:
        self.size, self._data = size, data
        self.looked_at = False

    def data_bytes(self) -> int:
        self.looked_at = True
        return self._data


def test_a_disk_of_64_tib_with_little_on_it_moves() -> None:
    disk = Disk(64 << 40, 300 << 30)
    _check_travels([disk], MAX_SEGMENT)  # type: ignore[list-item]
    assert disk.looked_at


@pytest.mark.parametrize("data", [[MOST + 1], [MOST // 2, MOST // 2 + MAX_SEGMENT]], ids=["one", "two together"])
def test_one_with_too_much_on_it_does_not(data: list[int]) -> None:
    with pytest.raises(ServerNotMovable) as caught:
        _check_travels([Disk(64 << 40, one) for one in data], MAX_SEGMENT)  # type: ignore[misc]
    assert caught.value.code == "too-much-data"


def test_where_the_size_alone_tells_that_it_fits_nothing_is_looked_at() -> None:
    disk = Disk(MOST, MOST)
    _check_travels([disk], MAX_SEGMENT)  # type: ignore[list-item]
    assert not disk.looked_at
