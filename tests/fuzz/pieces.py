# SPDX-License-Identifier: Apache-2.0
"""Changes a sequence of pieces (frames, records, DER values) by its pieces, and each of them by its header."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.fuzz.target import Mutator

_ODD_BYTES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\x01")


def mutator(split: Callable[[bytes], list[bytes]], others: Sequence[bytes], header: int) -> Mutator:
    """A mutator of what ``split`` takes apart.

    :param others: their pieces may be put in.
    :param header: bytes at the beginning of a piece that deserve the most attention.
    """
    donors = [piece for other in others for piece in split(other)]

    def mutate(data: bytes, rng: random.Random) -> bytes:
        parts = split(data) or [rng.choice(donors)]
        for _ in range(rng.choice((1, 1, 2, 4))):
            _change(parts, rng, donors, header)
            if not parts:
                break
        return b"".join(parts)

    return mutate


def _change(parts: list[bytes], rng: random.Random, donors: list[bytes], header: int) -> None:
    place = rng.randrange(len(parts))
    what = rng.randrange(8)
    if what == 0:
        del parts[place]
    elif what == 1:
        parts.insert(rng.randrange(len(parts) + 1), parts[place])
    elif what == 2:
        other = rng.randrange(len(parts))
        parts[place], parts[other] = parts[other], parts[place]
    elif what == 3:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(donors))
    elif what == 4:
        parts[place] = parts[place][: rng.randrange(len(parts[place]) + 1)]
    elif what == 5:
        parts[place] = flip(parts[place], rng, len(parts[place]))
    elif what == 6 and len(parts[place]) >= header > 0:
        other = rng.choice(parts)
        # Another piece's header before this one's content.
        parts[place] = other[:header] + parts[place][header:]
    else:
        parts[place] = flip(parts[place], rng, header)


def flip(piece: bytes, rng: random.Random, within: int) -> bytes:
    """One byte among the first ``within`` is another."""
    if not piece or not within:
        return rng.choice(_ODD_BYTES)
    changed = bytearray(piece)
    place = rng.randrange(min(len(changed), within))
    changed[place] = rng.choice((changed[place] ^ (1 << rng.randrange(8)), rng.choice(_ODD_BYTES)[0]))
    return bytes(changed)


def der(data: bytes) -> list[bytes]:
    """DER, taken apart at the beginnings of values: tag and length stay together with what follows."""
    starts = [0]
    place = 0
    while place + 1 < len(data) and len(starts) < 400:
        first = data[place + 1]
        size = 2 + (first & 0x7F if first & 0x80 else 0)
        length = int.from_bytes(data[place + 2 : place + size], "big") if first & 0x80 else first
        # Constructed values, and octet strings that hold values, are gone into; others are passed over.
        inner = data[place] & 0x20 or data[place] in (0x04, 0x03)
        place += size if inner else size + length
        if data[starts[-1] : starts[-1] + 1] == b"\x03" and inner:
            place += 1
        if starts[-1] < place < len(data):
            starts.append(place)
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
