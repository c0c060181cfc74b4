# SPDX-License-Identifier: Apache-2.0
"""Where a program logs, and what its own first words may quote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Set up in a process of its own: logging is the process's.
_START = """
import logging
from sv2m.cmd import program
program.configure(["--config-file", "{file}"], {log_file!r})
logging.getLogger("sv2m.test").warning("here")
"""


@pytest.mark.parametrize(("named", "wanted"), [("", "sv2m-api.log"), ("log_file = other.log", "other.log")])
def test_under_a_web_server_the_log_has_the_services_name(tmp_path: Path, named: str, wanted: str) -> None:
    (tmp_path / "log").mkdir()
    conf = tmp_path / "sv2m.conf"
    conf.write_text(f"[DEFAULT]\nlog_dir = {tmp_path}/log\n{named}\n")
    code = _START.format(file=conf, log_file="sv2m-api.log")
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ}, timeout=120)
    assert [one.name for one in (tmp_path / "log").iterdir()] == [wanted]
    assert "here" in (tmp_path / "log" / wanted).read_text()


def test_a_line_of_a_key_in_a_configuration_file_is_not_quoted(tmp_path: Path) -> None:
    line = "MIGkAgEBBDC3jeZqkK1pXz0Qw8r5t2u7y4v6b9n3m1a5s8d2f4g7h0j3k6l9q2w5e8"
    conf = tmp_path / "sv2m.conf"
    conf.write_text(f"[DEFAULT]\n{line}\n")
    code = _START.format(file=conf, log_file=None)
    started = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert "sv2m.conf:2" in started.stderr
    assert line[:20] not in started.stderr
