# SPDX-License-Identifier: Apache-2.0
"""For comparison: what SHA-256 alone costs on this machine, by openssl itself."""

from __future__ import annotations

import os
import resource
import subprocess
import time

from bench.usage import usage

COMMAND = ("openssl", "dgst", "-sha256")


def measure(total: int) -> tuple[float, float]:
    """Pipe ``total`` bytes into ``openssl dgst -sha256``. :returns: wall seconds, and openssl's CPU seconds."""
    block = os.urandom(1 << 20)
    before, begin = usage(resource.RUSAGE_CHILDREN), time.monotonic()
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as program:
        if program.stdin is None:
            raise OSError("openssl has no standard input")
        for start in range(0, total, len(block)):
            program.stdin.write(block[: total - start])
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, COMMAND)
    return time.monotonic() - begin, usage(resource.RUSAGE_CHILDREN).cpu - before.cpu
