# SPDX-License-Identifier: Apache-2.0
"""Servers in the lab: boot the counting guest, and read from its console how far it has counted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lab.resources import GUEST_IMAGE
from lab.rest import ApiError, Client
from lab.session import CloudSession

T = TypeVar("T")
_LINE = re.compile(r"sv2m-guest boot=(?P<boot>[0-9a-f-]{36}) count=(?P<count>\d+) disk=(?P<disk>\d*)\s")
#: Seconds that a guest may take to boot, and Nova and Cinder to make it, on a slow machine without KVM.
PATIENCE = 240.0


class TimedOutError(Exception):
    """Something did not become true in time; the message says what, and how it stood."""


@dataclass(frozen=True)
class Count:
    """One line of the guest: the random id of its boot, its counter, and what it read back from its disk."""

    boot: str
    count: int
    disk: int


def until(look: Callable[[], T | None], what: str, patience: float = PATIENCE, pause: float = 0.3) -> T:
    """Look again and again until the answer is true; TimedOutError after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimedOutError(f"not within {patience:.0f} s: {what}")
        time.sleep(pause)
    return found


class Guests:
    """The servers of one user in one cloud."""

    def __init__(self, session: CloudSession, user: str, project: str) -> None:
        self.session = session
        with session.in_network():
            self.client = Client(session.cloud, user, project)

    def call(self, method: str, service: str, path: str, body: object = None) -> Any:
        """One API call as this user."""
        with self.session.in_network():
            return self.client.call(method, service, path, body)

    def boot(
        self,
        name: str,
        *,
        volume_type: str | None = "luks",
        flavor: str = "m1.tiny",
        gigabytes: int = 1,
        network: str | None = None,
    ) -> str:
        """Start the counting guest and wait until it counts.

        Args:
            volume_type: of the volume that it boots from; None: a local disk
            network: name of the network on which it gets an interface; None: none

        Returns:
            the server's id
        """
        image = self._named("glance", "/images?name=" + GUEST_IMAGE, "images", GUEST_IMAGE)
        server: dict[str, Any] = {
            "name": name,
            "flavorRef": self._named("nova-api", "/flavors", "flavors", flavor),
            "networks": "none",
        }
        if network is not None:
            server["networks"] = [{"uuid": self._named("neutron", "/networks", "networks", network)}]
        if volume_type is None:
            server["imageRef"] = image
        else:
            wanted = {"name": name, "size": gigabytes, "volume_type": volume_type, "imageRef": image}
            volume = self.call("POST", "cinder-api", "/volumes", {"volume": wanted})["volume"]["id"]
            self._wait_for_volume(volume)
            disk = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
            server["block_device_mapping_v2"] = [disk]
        made: str = self.call("POST", "nova-api", "/servers", {"server": server})["server"]["id"]
        self.wait_for(made, "ACTIVE")
        until(lambda: self.counted(made), f"server {name} counts; its console: {self.session.console(made)[-500:]}")
        return made

    def show(self, server: str) -> dict[str, Any] | None:
        """The server as Nova shows it; None when there is none."""
        try:
            found: dict[str, Any] = self.call("GET", "nova-api", f"/servers/{server}")["server"]
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def wait_for(self, server: str, status: str) -> dict[str, Any]:
        """Wait until Nova shows a status and no task; TimedOutError, or AssertionError with the fault on ERROR."""

        def look() -> dict[str, Any] | None:
            shown = self.show(server) or {"status": "GONE"}
            if shown["status"] == "ERROR" and status != "ERROR":
                raise AssertionError(f"server {server} is in ERROR: {shown.get('fault')}")
            return shown if shown["status"] == status and shown["OS-EXT-STS:task_state"] is None else None

        return until(look, f"server {server} is {status}")

    def act(self, server: str, action: str, body: object = None) -> None:
        """A server action such as pause."""
        self.call("POST", "nova-api", f"/servers/{server}/action", {action: body})

    def delete(self, server: str) -> None:
        """Delete a server with its volumes, for good, and wait until all are gone."""
        shown = self.show(server)
        if shown is None:
            return
        volumes = [one["id"] for one in shown["os-extended-volumes:volumes_attached"]]
        self.act(server, "forceDelete")
        until(lambda: None if self.show(server) else True, f"server {server} is gone")
        for volume in volumes:
            if self._volume(volume) is None:
                continue
            self.call("DELETE", "cinder-api", f"/volumes/{volume}")
            until(lambda volume=volume: None if self._volume(volume) else True, f"volume {volume} is gone")

    def counted(self, server: str) -> Count | None:
        """The last whole line of the guest's console."""
        lines = list(_LINE.finditer(self.session.console(server)))
        if not lines:
            return None
        last = lines[-1]
        return Count(last["boot"], int(last["count"]), int(last["disk"] or 0))

    def first_counted(self, server: str) -> Count | None:
        """The first whole line of the guest's console."""
        line = _LINE.search(self.session.console(server))
        return Count(line["boot"], int(line["count"]), int(line["disk"] or 0)) if line else None

    def begins_to_count(self, server: str) -> Count:
        """Wait for the first whole line of the guest's console."""
        return until(lambda: self.first_counted(server), f"server {server} counts")

    def wait_for_count(self, server: str, more_than: int) -> Count:
        """Wait until the guest has counted beyond a number."""

        def look() -> Count | None:
            found = self.counted(server)
            return found if found is not None and found.count > more_than else None

        return until(look, f"server {server} counts beyond {more_than}")

    def _volume(self, volume: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.call("GET", "cinder-api", f"/volumes/{volume}")["volume"]
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def _wait_for_volume(self, volume: str) -> None:
        def look() -> bool | None:
            status = (self._volume(volume) or {"status": "gone"})["status"]
            if status.startswith("error"):
                raise AssertionError(f"volume {volume} is {status}")
            return True if status == "available" else None

        until(look, f"volume {volume} is available")

    def _named(self, service: str, path: str, key: str, name: str) -> str:
        found: str = next(one["id"] for one in self.call("GET", service, path)[key] if one["name"] == name)
        return found
