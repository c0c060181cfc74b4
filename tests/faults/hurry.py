# SPDX-License-Identifier: Apache-2.0
"""The clouds' patience, shortened: what an operator may configure, so that a case does not take half an hour."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lab.ini import write_ini
from lab.services import sv2m
from tests.cloud.world import Side, World

#: Seconds; the sections and options of sv2m.conf. The defaults are several times as much.
OPTIONS = {
    "DEFAULT": {"rpc_response_timeout": "25"},
    "engine": {
        "heartbeat": "2",
        "exchange_lifetime": "5",
        "landing_timeout": "90",
        "precopy_timeout": "60",
        "downtime_timeout": "60",
        "offer_lifetime": "180",
        "tidying_time": "150",
    },
    # Each signature asks Barbican for the key.
    "mam": {"key_lifetime": "0"},
    "agent": {"retry_seconds": "20"},
    "km": {"volume_timeout": "75"},
    # An answer may take the engine twenty seconds; an encrypted volume, on a busy machine, more than a minute.
    "gateway": {"peer_timeout": "25", "peer_patience": "90"},
    "service_credentials": {"timeout": "8"},
}
PROGRAMS = ("sv2m-engine", "sv2m-agent", "sv2m-gateway", "sv2m-api")


@contextmanager
def hurried(world: World) -> Iterator[None]:
    """Both clouds' SV2M with little patience; afterwards as it was."""
    before: dict[Path, str] = {}
    changed: list[Side] = []
    for side in (world.a, world.b):
        for path in sv2m.configs(side.session.cloud):
            text = path.read_text()
            sections = _sections(text)
            hurry = {name: {**sections.get(name, {}), **new} for name, new in OPTIONS.items()}
            # A run that was killed has left it so.
            if not all(hurry[name] == sections.get(name) for name in OPTIONS):
                write_ini(path, {**sections, **hurry})
                before[path] = text
                changed += [side] if side not in changed else []
    _again(changed)
    try:
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)
        _again(changed)


def _sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    # oslo.config's DEFAULT is a section like any other here.
    parser.default_section = ""
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def _again(sides: Sequence[Side]) -> None:
    """Start SV2M's programs again, all side by side."""
    wanted = [(side, program) for side in sides for program in PROGRAMS]
    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        list(pool.map(lambda one: _restart(*one), wanted))


def _restart(side: Side, program: str) -> None:
    if side.processes(program):
        side.kill(program)
    side.start(program)
