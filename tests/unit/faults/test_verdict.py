# SPDX-License-Identifier: Apache-2.0
"""What the crash matrix believes of a server after a case."""

from __future__ import annotations

from typing import Any

import pytest

from lab.guests import Count
from tests.faults import verdict
from tests.faults.matrix import draw, select
from tests.faults.travellers import counts, earlier
from tests.faults.verdict import End, Wrong, allowed, ended, foreseen, gapless, listed, loss_told, mattered

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


# -- what operators read ----------------------------------------------------------------------------------------------

ABORTED = {"code": "aborted", "fault": "local", "message": "the operator asked for an abort", "remedy": "Nothing."}
LOST = {
    "code": "memory-lost",
    "fault": "host",
    "message": f"server s ended; until then: {ABORTED['message']} (aborted)",
    "remedy": "openstack server start s",
}


def shown(error: dict[str, str] | None, **values: Any) -> dict[str, Any]:
    return {"id": "m", "phase": "withdrawn", "status": "aborted", "error": error, **values}


class Side:
    """A cloud that answers one after the other, the last for good; its list is what it says at that time."""

    name = "cloud"

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.list: list[dict[str, Any]] | None = None

    def migration(self, identifier: str) -> dict[str, Any]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def migrations(self) -> list[dict[str, Any]]:
        return [self.answers[0]] if self.list is None else self.list


class Passage:
    migration, server = "m", "s"

    def __init__(self, source: Side, destination: Side) -> None:
        self.source, self.destination = source, destination


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for patience in ("PATIENCE", "NOTICED", "ALIKE"):
        monkeypatch.setattr(verdict, patience, -1.0)


def judged(at_a: Side, at_b: Side) -> End:
    return ended(None, Passage(at_a, at_b))  # type: ignore[arg-type]


def stopped(side: Side, before: dict[str, str]) -> End:
    return End(shown(before), None, where=side, server="s", stopped=True)  # type: ignore[arg-type]


def at_b(error: dict[str, str] | None = ABORTED) -> Side:
    return Side(shown(error, phase="undone"))


def test_a_migration_that_says_why_it_failed() -> None:
    assert judged(Side(shown(ABORTED)), at_b()).told == "aborted: aborted"


@pytest.mark.parametrize(
    "error",
    [
        {"code": "internal-error", "fault": "internal", "message": "KeyError", "remedy": "Look."},
        {"code": "internal-error", "fault": "peer", "message": "it gave up", "remedy": "Ask."},
        {**LOST, "message": "server s ended; until then: KeyError (internal-error)"},
    ],
    ids=["ours", "the other side's", "hidden behind a loss of memory"],
)
def test_what_nobody_foresaw_is_a_flaw_on_either_side(error: dict[str, str]) -> None:
    with pytest.raises(Wrong, match="nobody foresaw"):
        judged(Side(shown(error)), at_b())
    with pytest.raises(Wrong, match="nobody foresaw"):
        judged(Side(shown(ABORTED)), at_b(error))
    with pytest.raises(Wrong, match="nobody foresaw"):
        foreseen(None, shown(error, status="completed"))


@pytest.mark.parametrize("other", [[], [shown(None)], [shown(ABORTED, status="running")]])
@pytest.mark.parametrize("which", ["source", "destination"])
def test_a_list_that_says_something_else_is_wrong(other: list[dict[str, Any]], which: str) -> None:
    sides = {"source": Side(shown(ABORTED)), "destination": at_b()}
    sides[which].list = other
    with pytest.raises(Wrong, match="its list"):
        judged(sides["source"], sides["destination"])
    with pytest.raises(Wrong, match="its list"):
        listed(sides[which], "m")  # type: ignore[arg-type]


def test_a_loss_of_memory_is_told_and_what_was_said_before_stays() -> None:
    end = stopped(Side(shown(LOST)), ABORTED)
    loss_told(end)
    assert end.told == "aborted: memory-lost"


@pytest.mark.parametrize(
    "error",
    [ABORTED, {**LOST, "remedy": "Nothing."}, {**LOST, "message": "server s ended"}],
    ids=["not told", "without what to do", "without what was said before"],
)
def test_a_loss_of_memory_that_is_half_told_is_wrong(error: dict[str, str]) -> None:
    with pytest.raises(Wrong):
        loss_told(stopped(Side(shown(error)), ABORTED))


class Shut:
    """The source's cloud, as far as a server that is stopped is looked at."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.migrations, self.migration = Side(*answers).migrations, Side(*answers).migration
        self.admin = self.session = self
        self.stdout = "shut off"

    def show(self, server: str) -> dict[str, Any]:
        return {"status": "SHUTOFF", "locked": False, "OS-EXT-STS:task_state": None}

    def run(self, command: list[str], check: bool) -> Shut:
        return self


class Stopped:
    """A traveller that was stopped, and boots well when it is started."""

    side, server = None, "s"

    def counts_before(self) -> list[Count]:
        return counted(1)


@pytest.mark.parametrize(("status", "error", "right"), [
    ("aborted", ABORTED, False), ("aborted", LOST, True), ("failed", ABORTED, False), ("completed", None, True),
])
def test_where_a_server_ends_stopped_its_operator_must_have_been_told(
    monkeypatch: pytest.MonkeyPatch, status: str, error: dict[str, str] | None, right: bool
) -> None:
    """But for one that had arrived: what became of it then is not the migration's."""
    booted = []
    monkeypatch.setattr(verdict, "_disk_right", lambda *args: booted.append(args))
    end = stopped(Shut(shown(error)), ABORTED)  # type: ignore[arg-type]
    end.at_a = shown(error if right else ABORTED, status=status)
    if right:
        verdict.whole(end, Stopped(), memory_lost=True)  # type: ignore[arg-type]
        assert booted
        return
    with pytest.raises(Wrong, match="memory is lost"):
        verdict.whole(end, Stopped(), memory_lost=True)  # type: ignore[arg-type]
    assert not booted
