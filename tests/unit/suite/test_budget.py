# SPDX-License-Identifier: Apache-2.0
"""A suite that takes too long ends by itself, as a failure, and says what did not run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
SUITE = """
def test_first(): pass
def test_second(): pass
def test_third(): pass
"""


def _run(tmp_path: Path, end: float) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_it.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 30\n")
    options = ["-q", "-rfE", "-p", "no:cacheprovider", "-p", "tests.budget"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SV2M_TESTS_END": str(end)},
        cwd=tmp_path,
    )


def test_what_did_not_run_is_named_and_nothing_else_of_it_is_done(tmp_path: Path) -> None:
    over = _run(tmp_path, time.time() - 1)
    assert over.returncode == 1
    for name in ("test_first", "test_second", "test_third"):
        assert f"test_it.py::{name} - Failed: not run" in over.stdout, over.stdout


def test_a_suite_that_keeps_its_time_is_as_without(tmp_path: Path) -> None:
    done = _run(tmp_path, time.time() + 600)
    assert done.returncode == 0
    assert "3 passed" in done.stdout
