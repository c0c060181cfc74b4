# SPDX-License-Identifier: Apache-2.0
"""Checking a migration's evidence as its own text says: by xmlsec1 and openssl, without SV2M."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from lab.session import CloudSession


def save(session: CloudSession, migration: str, folder: Path) -> None:
    """Save a migration's evidence by the openstack command, as it is now: what was saved before goes."""
    shutil.rmtree(folder, ignore_errors=True)
    command = ["openstack", "secure", "migration", "evidence", "save", migration, "--directory", str(folder)]
    session.run(command)


def told(folder: Path, use: str = "") -> list[str]:
    """The commands that the evidence's own text tells its reader to type, or those of them that use a program."""
    lines = re.sub(r"\\\n\s*", "", (folder / "README.txt").read_text()).splitlines()
    return [line.strip() for line in lines if line.startswith("    ") and use in line]


def failing(folder: Path, commands: list[str]) -> list[str]:
    """Those of the commands that do not succeed, each with what it said."""
    found = []
    for command in commands:
        done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            found.append(f"{command}: {done.stdout}{done.stderr}")
    return found
