# SPDX-License-Identifier: Apache-2.0
"""What a job changes of QEMU's settings is set back, by whichever agent process comes last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sv2m.agent.libvirt import monitor, settings
from sv2m.errors import HypervisorError

FOUND = {"max-bandwidth": 134217728, "downtime-limit": 300, "x-other": 1}


class Qemu:
    """Its monitor, as far as migrations' parameters go."""

    def __init__(self) -> None:
        self.parameters = dict(FOUND)
        self.away = False

    def command(self, domain: Any, name: str, /, **arguments: Any) -> Any:
        if self.away:
            raise HypervisorError("QEMU does not answer")
        if name == "query-migrate-parameters":
            return dict(self.parameters)
        assert name == "migrate-set-parameters"
        self.parameters |= {key.replace("_", "-"): value for key, value in arguments.items()}
        return {}


@pytest.fixture
def qemu(monkeypatch: pytest.MonkeyPatch) -> Qemu:
    made = Qemu()
    monkeypatch.setattr(monitor, "command", made.command)
    return made


def test_everything_that_was_changed_is_set_back(qemu: Qemu, tmp_path: Path) -> None:
    settings.change(None, tmp_path, max_bandwidth=1 << 50, downtime_limit=1)
    assert qemu.parameters == FOUND | {"max-bandwidth": 1 << 50, "downtime-limit": 1}
    settings.restore(None, tmp_path)
    assert qemu.parameters == FOUND
    settings.restore(None, tmp_path)
    assert not settings.are_changed(tmp_path)


def test_what_was_found_first_is_what_is_set_back(qemu: Qemu, tmp_path: Path) -> None:
    """An agent that was killed had changed it; the next one finds its change, and the note."""
    settings.change(None, tmp_path, max_bandwidth=1 << 50)
    settings.change(None, tmp_path, max_bandwidth=1 << 49, downtime_limit=1)
    settings.restore(None, tmp_path)
    assert qemu.parameters == FOUND


def test_a_qemu_that_does_not_answer_is_set_back_later(qemu: Qemu, tmp_path: Path) -> None:
    settings.change(None, tmp_path, max_bandwidth=1 << 50)
    qemu.away = True
    with pytest.raises(HypervisorError):
        settings.restore(None, tmp_path)
    qemu.away = False
    assert settings.are_changed(tmp_path)
    settings.restore(None, tmp_path)
    assert qemu.parameters == FOUND


def test_a_kill_while_the_note_is_written_comes_before_the_change(
    qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.change(None, tmp_path, max_bandwidth=1 << 50)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        settings.change(None, tmp_path, downtime_limit=1)
    assert qemu.parameters["downtime-limit"] == FOUND["downtime-limit"]
    settings.restore(None, tmp_path)
    assert qemu.parameters == FOUND
