# SPDX-License-Identifier: Apache-2.0
"""The lines of an audit log that somebody else may have written."""

from __future__ import annotations

import hashlib
import itertools
import json
import random

from sv2m.evidence import chain
from tests.fuzz import saved
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import evidence

_SUBJECT = str(json.loads(saved.folder().files["summary.json"])["migration_id"])


def check(data: bytes) -> None:
    lines = data.decode("utf-8", "replace").split("\n")
    log = chain.read(lines, _SUBJECT)
    promise(len(log.events) <= len(lines), "events that nobody wrote")
    promise(bool(log.faults) or len(log.events) == len(lines), "an event was passed over")
    promise(all(event["subject"] == _SUBJECT for event in log.events), "an event of another log")
    for line, (one, following) in zip(lines, itertools.pairwise(log.events), strict=False):
        promise(following["number"] == one["number"] + 1, "an event is missing")
        promise(following["previous"] == hashlib.sha384(f"{line}\n".encode()).hexdigest(), "an event was changed")


def _mutate(data: bytes, rng: random.Random) -> bytes:
    return evidence.changed_log(data, rng).removesuffix(b"\n")


def make() -> Target:
    logs = [data.removesuffix(b"\n") for name, data in saved.folder().files.items() if name.endswith(".jsonl")]
    seeds = (*logs, b"[" * 2000, b'{"action":"document","number":1}')
    return Target("evidence.chain: audit logs", check, seeds, ("sv2m.evidence",), _mutate)
