# SPDX-License-Identifier: Apache-2.0
"""A program that has read its configuration leaves no core file, and neither does what it starts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

#: Begins as every program does, and ends in a way that dumps a core where one is allowed.
PROGRAM = """
import ctypes, json, os, resource, subprocess, sys
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
if len(sys.argv) > 1:
    from sv2m.cmd import program
    program.configure(["--config-file", sys.argv[1]])
child = subprocess.run(["cat", "/proc/self/limits"], capture_output=True, text=True).stdout
dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(json.dumps([open("/proc/self/limits").read(), child, dumpable]), flush=True)
if len(sys.argv) > 1:
    os.abort()
"""


def _limit(limits: str) -> tuple[str, str]:
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    soft, hard, _ = line.removeprefix("Max core file size").split()
    return soft, hard


def _begun(directory: Path, *arguments: str) -> tuple[tuple[str, str], tuple[str, str], int]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    assert done.stdout, done.stderr
    own, childs, dumpable = json.loads(done.stdout)
    return _limit(own), _limit(childs), dumpable


def test_a_program_leaves_no_core_file(tmp_path: Path) -> None:
    (tmp_path / "sv2m.conf").write_text("[DEFAULT]\ncloud_name = cloud-a.sv2m\n")
    own, childs, dumpable = _begun(tmp_path, str(tmp_path / "sv2m.conf"))
    assert own == childs == ("0", "0"), "and nobody can raise it again"
    assert not dumpable, "a core_pattern that is a pipe does not ask for the limit"
    assert list(tmp_path.glob("core*")) == []


@pytest.mark.skipif(not resource.getrlimit(resource.RLIMIT_CORE)[1], reason="here nobody may leave a core file")
def test_another_program_may_leave_one(tmp_path: Path) -> None:
    """Otherwise the test above would show nothing."""
    own, childs, dumpable = _begun(tmp_path)
    assert own == childs != ("0", "0")
    assert dumpable
