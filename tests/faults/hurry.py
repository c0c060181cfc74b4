# SPDX-License-Identifier: Apache-2.0
"""The clouds' patience, shortened: what an operator may configure, so that a case does not take its half hour."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from contextlib import contextmanager

from lab.ini import write_ini
from lab.services import sv2m
from tests.cloud.world import World

#: Seconds; the sections and options of sv2m.conf. The defaults are ten times as much and more.
OPTIONS = {
    "DEFAULT": {"rpc_response_timeout": "15"},
    "engine": {
        "heartbeat": "2",
        "exchange_lifetime": "5",
        "landing_timeout": "60",
        "precopy_timeout": "60",
        "downtime_timeout": "60",
        "offer_lifetime": "120",
    },
    "agent": {"retry_seconds": "20"},
    "gateway": {"peer_timeout": "10", "peer_patience": "20"},
    "service_credentials": {"timeout": "8"},
}
PROGRAMS = ("sv2m-engine", "sv2m-agent", "sv2m-gateway", "sv2m-api")


@contextmanager
def hurried(world: World) -> Iterator[None]:
    """Both clouds' SV2M with little patience; afterwards as it was."""
    before = {}
    for side in (world.a, world.b):
        path = sv2m.config(side.session.cloud)
        before[side.name] = path.read_text()
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        # oslo.config's DEFAULT is a section like any other here.
        parser.default_section = ""
        parser.read_string(before[side.name])
        sections = {name: dict(parser[name]) for name in parser.sections()}
        write_ini(path, {**sections, **{name: {**sections.get(name, {}), **new} for name, new in OPTIONS.items()}})
    _again(world)
    try:
        yield
    finally:
        for side in (world.a, world.b):
            sv2m.config(side.session.cloud).write_text(before[side.name])
        _again(world)


def _again(world: World) -> None:
    for side in (world.a, world.b):
        for program in PROGRAMS:
            if side.session.process(program) is not None:
                side.kill(program)
            side.start(program)
