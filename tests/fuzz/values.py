# SPDX-License-Identifier: Apache-2.0
"""Changes JSON as a value, and writes it as JSON."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

from tests.fuzz.target import Mutator

_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, 2**64, 10**400, "",
    " ", "\n", "\0", "\ud800", "\udfff", "\u2028", "é", "😀", "x" * 70000, "a.b", "A", "0", "-1", "true", [], {}, [[]],
    [None], {"": 0}, "cloud-b.sv2m", "cloud-b.sv2m\n", "custom", "none", "bios", "uefi", "kvm", "virtio", "vda",
    "fa:16:3e:11:22:33", "ff:ff:ff:ff:ff:ff", "11111111-1111-4111-8111-111111111111",
    "11111111-1111-4111-8111-111111111111\n", "https://a.b", "https://a.b\n", "https://[::1", "https://\ud800", "file:///",
    "-----BEGIN CERTIFICATE-----", "é-----BEGIN CERTIFICATE-----", "outgoing", "incoming", "both", "/etc/passwd", "..",
    "a:b:c", "pc-q35-7.2", "qemu:commandline", "<x/>",
)  # fmt: skip


def change(value: Any, rng: random.Random, names: Sequence[str] = ()) -> Any:
    """A changed copy of a JSON value. ``names`` may become keys."""
    changed = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changed = _once(changed, rng, names)
    return changed


def mutator(names: Sequence[str] = ()) -> Mutator:
    """A mutator of JSON documents."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = {}
        return dump(change(value, rng, names), rng)

    return mutate


def dump(value: Any, rng: random.Random) -> bytes:
    """JSON, as ASCII or as what it stands for; NaN and surrogates included."""
    written = json.dumps(value, ensure_ascii=rng.random() < 0.8)
    return written.encode("utf-8", "surrogatepass")


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        if len(found) < 500:
            _places(inner, found)


def _once(value: Any, rng: random.Random, names: Sequence[str]) -> Any:
    places: list[tuple[Any, Any]] = []
    _places(value, places)
    if not places or rng.random() < 0.03:
        return copy.deepcopy(rng.choice(_ODD))
    holder, key = rng.choice(places)
    what = rng.randrange(8)
    if what <= 2:
        holder[key] = copy.deepcopy(rng.choice(_ODD))
    elif what == 3:
        del holder[key]
    elif what == 4:
        donor, other = rng.choice(places)
        if other in (donor if isinstance(donor, dict) else range(len(donor))):
            holder[key] = copy.deepcopy(donor[other])
    elif what == 5 and isinstance(holder, dict):
        named = rng.choice([*names, *(str(one) for one in _ODD if isinstance(one, str) and len(one) < 100), str(key)])
        holder[named] = copy.deepcopy(holder[key])
    elif what == 6 and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(rng.choice((1, 2, 40, 300)))]
    elif isinstance(holder[key], str):
        holder[key] = _in_text(holder[key], rng)
    elif isinstance(holder[key], int | float):
        holder[key] = rng.choice((holder[key] + 1, -holder[key], holder[key] * 2, str(holder[key])))
    return value


def _in_text(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) + 1)
    inserted = rng.choice(("\n", "\0", " ", "é", "\ud800", "😀", "/", "..", "-", ".", ":", "A", "=", "<", text))
    return text[:place] + inserted + text[place + rng.randrange(2) :]
