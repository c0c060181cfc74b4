# SPDX-License-Identifier: Apache-2.0
"""The VM descriptor in its JSON form."""

from __future__ import annotations

import dataclasses
import json

from sv2m import errors
from sv2m.protocol import Cpu, Disk, Needs, Nic, Sysinfo
from tests.fuzz import values
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors

_NAMES = [field.name for cls in (Needs, Cpu, Sysinfo, Disk, Nic) for field in dataclasses.fields(cls)]


def check(data: bytes) -> None:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        needs = Needs.from_dict(plain)
    except errors.LocalError:
        return
    promise(Needs.from_dict(json.loads(json.dumps(needs.to_dict()))) == needs, "what was read is not what is written")
    promise(plain == json.loads(json.dumps(needs.to_dict())), "something was taken that no descriptor has")
    promise(all("/" not in one for one in (needs.machine, *needs.devices, *needs.addresses)), "a path got in")


def make() -> Target:
    seeds = (json.dumps(vectors.values()["needs"]).encode(),)
    return Target("protocol.Needs: VM descriptor", check, seeds, ("sv2m.protocol",), values.mutator(_NAMES))
