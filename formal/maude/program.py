# SPDX-License-Identifier: Apache-2.0
"""Runs Maude over a model's text."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class MaudeError(Exception):
    """Maude is not there, or did not understand."""


@contextmanager
def maude(model: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """Maude with this model loaded: where commands are written, and where its answers are read. Ended afterwards.

    :raises MaudeError: it is not installed, or warned of something: it leaves out what it cannot read, and goes on.
    """
    program = shutil.which("maude")
    if program is None:
        raise MaudeError("maude is not installed; on Debian: apt install maude")
    with tempfile.TemporaryDirectory() as directory:
        text = Path(directory) / "model.maude"
        text.write_text(model)
        complaints = Path(directory) / "complaints"
        options = ["-no-banner", "-no-advise", "-no-wrap", "-no-ansi-color"]
        with complaints.open("w") as file:
            process = subprocess.Popen(
                [program, *options, str(text)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        try:
            if process.stdin is None or process.stdout is None:
                raise MaudeError("Maude was started without its pipes")
            yield process.stdin, process.stdout
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if complaint := complaints.read_text().strip():
            raise MaudeError(f"Maude did not understand the model: {complaint[:500]}")
