# SPDX-License-Identifier: Apache-2.0
"""Print how fast this machine seals, sends and opens. Less than half a minute with the defaults."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from bench import channel, digest

GIB = 1 << 30


def main() -> None:
    """Measure, and print a table under the command that made it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="plaintext of each run (default: %(default)s)")
    parser.add_argument(
        "--segment-mib", type=int, nargs="+", default=[4, 16, 64], help="segment sizes (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.mib < 1 or any(not 1 <= size <= 64 for size in arguments.segment_mib):
        parser.error("--mib is at least 1, a segment 1 to 64 MiB")
    total = arguments.mib << 20
    print("$", shlex.join(["python", "-m", "bench", *sys.argv[1:]]))
    print(f"{arguments.mib} MiB of plaintext a run, {os.cpu_count()} CPUs, loopback")
    print(f"{'':24}{'wall':>8}{'CPU-s/GiB':>22}{'peak RSS, MiB':>22}")
    print(f"{'':24}{'GiB/s':>8}{'source':>10}{'destination':>12}{'source':>10}{'destination':>12}")
    share = total / GIB
    for size in arguments.segment_mib:
        result = channel.measure(total, size << 20)
        sides = (result.source, result.destination)
        row(
            f"seal+send, {size} MiB",
            share / result.seconds,
            *(f"{side.cpu / share:.2f}" for side in sides),
            *(str(side.rss >> 20) for side in sides),
        )
    seconds, cpu = digest.measure(total)
    row(shlex.join(digest.COMMAND), share / seconds, f"{cpu / share:.2f}")


def row(what: str, rate: float, *cells: str) -> None:
    """One line of the table: GiB/s, then CPU-s/GiB and peak RSS of source and destination."""
    print(
        f"{what:24}{rate:8.2f}", *(f"{cell:>{width - 1}}" for cell, width in zip(cells, (10, 12, 10, 12), strict=False))
    )


if __name__ == "__main__":
    main()
