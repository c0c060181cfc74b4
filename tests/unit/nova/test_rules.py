# SPDX-License-Identifier: Apache-2.0
"""Nova's rules, asked by Nova's own code."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Server, project, roles; and what Nova says.
PERSONAS = [
    (("known", "p1", ["manager", "member", "reader"]), None),
    (("known", "p9", ["admin", "manager", "member", "reader"]), None),
    (("known", "p1", ["member", "reader"]), "403 Forbidden"),
    (("known", "p2", ["manager", "member", "reader"]), "403 Forbidden"),
    (("unknown", "p1", ["admin"]), "404 Not Found"),
]


@pytest.mark.skipif(importlib.util.find_spec("nova") is None, reason="Nova is not installed")
def test_novas_personas() -> None:
    answers = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("nova_rules.py"))],
        input=json.dumps([asked for asked, _ in PERSONAS]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answers.stdout.splitlines()[-1]) == [answer for _, answer in PERSONAS]
