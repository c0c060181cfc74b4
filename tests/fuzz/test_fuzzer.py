# SPDX-License-Identifier: Apache-2.0
"""The fuzzer finds what is wrong: otherwise finding nothing would prove nothing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from sv2m.evidence import chain, path
from sv2m.protocol import records
from sv2m.protocol.wire import document as documents
from tests.fuzz import target as targets


def _broken(name: str, tries: int = 4000) -> bool:
    """Whether changing the seeds of a target breaks a promise or makes an unforeseen error."""
    target, rng = targets.load(name), random.Random(7)
    assert target.mutate is not None
    for _ in range(tries):
        try:
            target.check(target.mutate(rng.choice(target.seeds), rng)[: target.max_bytes])
        except Exception:
            return True
    return False


def test_a_reader_that_does_not_compare_with_what_it_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sv2m.protocol.wire.encode", lambda message: mock.ANY)
    monkeypatch.setattr(documents, "check_names", lambda document: None)
    assert _broken("message")


def test_a_disk_that_is_larger_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = records.RecordReader.__init__

    def larger(self: records.RecordReader, size: int) -> None:
        begin(self, 2 * size)

    monkeypatch.setattr(records.RecordReader, "__init__", larger)
    assert _broken("records")


def test_certificates_of_which_not_every_error_is_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(chain: list[bytes]) -> list[object]:
        return [path.x509.load_der_x509_certificate(der) for der in chain]

    monkeypatch.setattr(path, "load_chain", load)
    assert _broken("certificate")


def test_a_log_of_which_not_every_event_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_event", json.loads)
    assert _broken("evidence")


def test_the_command_prints_its_table(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--runs", "200", "--keep", str(tmp_path), "segment"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    head, line = shown.splitlines()
    assert head.split() == ["target", "runs", "runs/s", "corpus", "MiB", "findings"]
    assert line.split()[0] == "segment" and int(line.split()[1]) >= 200 and line.split()[-1] == "0"
