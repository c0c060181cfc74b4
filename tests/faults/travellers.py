# SPDX-License-Identifier: Apache-2.0
"""Servers that go back and forth between the clouds, case after case, and what they have counted on the way."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from lab.guests import Count
from lab.resources import NETWORK
from lab.rest import ApiError
from tests.cloud.world import Side, World

_LINE = re.compile(r"sv2m-guest boot=(?P<boot>[0-9a-f-]{36}) count=(?P<count>\d+) disk=(?P<disk>\d*)\s")
_EARLIER = re.compile(r"sv2m-guest earlier boot=(?P<boot>[0-9a-f-]{36}) count=(?P<count>\d+)\s")
#: volume type by the kind of disk that a case names
VOLUME_TYPE = {"plain": None, "encrypted": "luks"}


@dataclass
class Traveller:
    """One server, wherever it is now."""

    kind: str
    side: Side
    server: str
    boot: str
    #: The console file of before the case: it stays readable when Nova deletes its name with the server.
    console: Path | None = None
    #: Everything of this server's own, by id: its port, its volumes and their keys.
    owned: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The same in each cloud."""
        return f"traveller-{self.kind}"

    def look(self) -> None:
        """Note what belongs to it here."""
        shown = self.side.admin.show(self.server) or {}
        volumes = [one["id"] for one in shown.get("os-extended-volumes:volumes_attached", ())]
        self.owned = {self.server, *volumes, *(port["id"] for port in self.side.ports_of(self.server))}
        for volume in volumes:
            with contextlib.suppress(ApiError):
                found = self.side.manager.call("GET", "cinder-api", f"/volumes/{volume}/encryption")
                if found.get("encryption_key_id"):
                    self.owned.add(found["encryption_key_id"])

    def keep_console(self, directory: Path) -> None:
        """Keep hold of what it has printed and will print until it leaves."""
        self.console = directory / f"{self.kind}.console"
        self.console.unlink(missing_ok=True)
        os.link(self.side.session.cloud.console_directory / self.server / "console.log", self.console)

    def counts_before(self) -> list[Count]:
        """What it printed on the side where the case found it."""
        assert self.console is not None
        return counts(self.console.read_text(errors="replace"), self.boot)


def counts(text: str, boot: str) -> list[Count]:
    """Every whole line of this boot, in order."""
    lines = [Count(one["boot"], int(one["count"]), int(one["disk"] or 0)) for one in _LINE.finditer(text)]
    return [one for one in lines if one.boot == boot]


def earlier(text: str) -> tuple[str, int] | None:
    """What the guest found on its disk when it booted: boot id and count of the boot before."""
    found = list(_EARLIER.finditer(text))
    return (found[-1]["boot"], int(found[-1]["count"])) if found else None


class Stable:
    """The travellers that there are; a missing one is booted, a doubtful one is taken out."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[str, Traveller] = {}

    def get(self, kind: str, disk: str) -> Traveller:
        """The traveller of this kind, booted in cloud A if there is none."""
        if kind not in self._kept:
            side = self._world.a
            server = side.manager.boot(f"traveller-{kind}", volume_type=VOLUME_TYPE[disk], network=NETWORK)
            counted = side.manager.counted(server)
            assert counted is not None
            self._kept[kind] = Traveller(kind, side, server, counted.boot)
        traveller = self._kept[kind]
        traveller.look()
        return traveller

    def owned(self) -> set[str]:
        """Ids of everything that belongs to a traveller, wherever it is."""
        for traveller in self._kept.values():
            traveller.look()
        return {one for traveller in self._kept.values() for one in traveller.owned}

    def servers(self) -> dict[str, set[str]]:
        """By name of the side, the servers that are to be there."""
        sides = (self._world.a, self._world.b)
        return {side.name: {one.server for one in self._kept.values() if one.side is side} for side in sides}

    def clear(self) -> None:
        """Remove them all, and whatever else there is."""
        self._kept.clear()
        self._world.tidy()
