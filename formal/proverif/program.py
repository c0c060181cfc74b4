# SPDX-License-Identifier: Apache-2.0
"""Runs ProVerif over a model's text, and reads its RESULT lines."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from formal.proverif import text as t

#: What can be said of a query beside ``true`` and ``false``.
UNPROVED: Final = "cannot be proved"
MISSING: Final = "no answer"

#: ProVerif says of a query that fails only as injective what holds of it otherwise, in parentheses: no verdict.
_RESULT: Final = re.compile(
    r"^RESULT (?!\((?:but|even)\b).*?(?:is (true|false)|(cannot be proved))\.?\s*$", re.MULTILINE
)


class ProverifError(Exception):
    """ProVerif did not understand a model, or answered what was not asked."""


@dataclass(frozen=True)
class Found:
    """What came out of a model's queries, by their names: ``true``, ``false``, UNPROVED or MISSING.

    :param seconds: by the clock.
    """

    verdicts: dict[str, str]
    seconds: float


def installed() -> str | None:
    """Where ProVerif is; None where it is not on the path."""
    return shutil.which("proverif")


def version(program: str) -> str:
    """ProVerif's version, as it says itself."""
    said = subprocess.run([program, "-help"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Proverif (\d[\w.]*)", said, re.IGNORECASE)
    return match[1].rstrip(".") if match else "of unknown version"


def run(program: str, text: str, seconds: float) -> Found:
    """Ask ProVerif all queries of a text.

    :param seconds: after which what has not been answered is MISSING.
    :raises ProverifError: see there.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model.pv"
        model.write_text(text)
        try:
            ended = subprocess.run(
                [program, str(model)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as late:
            said = late.stdout or b""
        else:
            said = ended.stdout
            if ended.returncode != 0:
                raise ProverifError(" ".join(said.decode(errors="replace").split()[-30:]) or "no word from ProVerif")
    return Found(verdicts(said.decode(errors="replace"), list(t.expected(text))), time.monotonic() - begun)


def verdicts(said: str, queries: list[str]) -> dict[str, str]:
    """What ProVerif said of each query; it answers in the order in which they are asked.

    :raises ProverifError: there are more answers than queries.
    """
    answers = [decided or unproved for decided, unproved in _RESULT.findall(said)]
    if len(answers) > len(queries):
        raise ProverifError(f"{len(answers)} answers to {len(queries)} queries")
    answers += [MISSING] * (len(queries) - len(answers))
    return dict(zip(queries, answers, strict=True))
