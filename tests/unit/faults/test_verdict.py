# SPDX-License-Identifier: Apache-2.0
"""What the crash matrix believes of a server after a case."""

from __future__ import annotations

import pytest

from lab.guests import Count
from tests.faults.matrix import draw, select
from tests.faults.travellers import counts, earlier
from tests.faults.verdict import End, Wrong, allowed, gapless, mattered

BOOT, OTHER = "0b9c3d1e-5f0a-4a55-8a53-2d5e3c8e7f10", "7c9c3d1e-5f0a-4a55-8a53-2d5e3c8e7f10"


def counted(*numbers: int) -> list[Count]:
    return [Count(BOOT, number, number) for number in numbers]


def test_where_a_server_may_be_is_read_off_the_tables() -> None:
    both = {"source", "destination"}
    assert allowed("source", "transferring", "kill-qemu") == both
    assert allowed("source", "withdrawing", "kill-sv2m-engine") == {"source"}
    assert allowed("source", "receipted", "kill-mariadb") == {"destination"}
    assert allowed("destination", "resumed", "cut-5s") == {"destination"}
    assert allowed("destination", "undoing", "cut-5s") == {"source"}


def test_after_the_commit_nothing_but_the_loss_of_bs_copy_brings_it_back() -> None:
    assert allowed("source", "released", "kill-sv2m-engine") == {"destination"}
    assert allowed("destination", "resuming", "kill-libvirtd") == {"destination"}
    assert allowed("destination", "resuming", "kill-qemu") == {"source", "destination"}


def test_counting_on_elsewhere_is_right_also_when_a_line_was_cut_in_two() -> None:
    gapless(counted(1, 2, 3), counted(4, 5))
    gapless(counted(1, 2, 3), counted(5, 6))


def test_counting_on_in_the_same_console_is_right() -> None:
    gapless(counted(1, 2, 3), counted(1, 2, 3, 4))


@pytest.mark.parametrize(
    "after",
    [counted(3, 4), counted(6, 7), counted(4, 6), counted(4, 4)],
    ids=["counted twice", "left out", "a hole", "stood still"],
)
def test_what_was_lost_or_done_twice_is_seen(after: list[Count]) -> None:
    with pytest.raises(Wrong):
        gapless(counted(2, 3), after)


def test_another_boot_does_not_count() -> None:
    whole = f"sv2m-guest boot={BOOT} count=7 disk=7 \nsv2m-guest boot={OTHER} count=1 disk=1 \n"
    assert counts(f"{whole}sv2m-guest boot={BOOT} cou", BOOT) == [Count(BOOT, 7, 7)]


def test_what_the_guest_found_on_its_disk() -> None:
    assert earlier(f"sv2m-guest earlier boot={BOOT} count=41\nsv2m-guest boot={OTHER} count=1 disk=1 \n") == (BOOT, 41)
    assert earlier("nothing") is None


def test_a_disk_that_was_full_before_the_data_came_cannot_have_taken_it() -> None:
    (early, late) = select(draw(), ["disk-full@destination:challenged", "disk-full@destination:prepared"])
    completed = End({"status": "completed"}, None, where=None, server="")  # type: ignore[arg-type]
    mattered(late, completed)
    with pytest.raises(Wrong):
        mattered(early, completed)
