# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess

import pytest

from lab.guests import until
from lab.process import Process, Record, spawn, stop


@pytest.fixture
def sleeper():
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_a_process_of_another_start_time_is_not_signalled(sleeper):
    now = Process.find(sleeper.pid)
    earlier = Process(now.pid, now.start - 1)
    assert not earlier.alive()
    earlier.signal(signal.SIGKILL)
    stop([earlier], patience=0)
    assert now.alive()


def test_stop_ends_a_process_that_ignores_the_first_signal(tmp_path):
    script = "trap '' TERM; echo ready; while :; do read -r line <> /dev/zero; done"
    child = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        process = Process.find(child.pid)
        stop([process], patience=0.2)
        assert not process.alive()
        assert child.wait() == -signal.SIGKILL
    finally:
        child.kill()
        child.stdout.close()


def test_what_spawn_records_is_the_process_it_started(tmp_path):
    record = Record(tmp_path / "one.json")
    output = tmp_path / "one.out"
    process = spawn(
        ["sh", "-c", "echo $GREETING; exec sleep 600"], record, output, {"GREETING": "hello"}, tmp_path
    )
    try:
        assert record.running() == process
        assert os.getsid(process.pid) == process.pid
        until(lambda: output.read_text() == "hello\n", "it has said it")
        # The kernel counts the first pages of a program late.
        until(lambda: process.memory() > 0, "it has memory")
    finally:
        stop([process], patience=5)
    assert record.running() is None
    assert record.read() == process


def test_a_record_that_was_cut_short_counts_as_none(tmp_path):
    path = tmp_path / "one.json"
    path.write_text('{"pid": 1')
    assert Record(path).read() is None
    assert Record(tmp_path / "absent.json").running() is None
