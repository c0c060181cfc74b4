# SPDX-License-Identifier: Apache-2.0
"""The calls: ``connection.secure_migration``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from openstack import exceptions, proxy

from sv2m.sdk import ids
from sv2m.sdk.load import HostLoad
from sv2m.sdk.migration import Migration
from sv2m.sdk.peer import Peer
from sv2m.sdk.program import Program


class Proxy(proxy.Proxy):
    """Version 1 of the API."""

    api_version = "1"

    def migrations(self, **query: Any) -> Iterator[Migration]:
        """Migrations, newest first.

        :param query: status, role, server_id, peer, all_projects, limit, marker.
        """
        return cast("Iterator[Migration]", self._list(Migration, **query))

    def get_migration(self, migration: str | Migration) -> Migration:
        """One migration.

        :raises openstack.exceptions.NotFoundException: there is none of this id.
        :raises openstack.exceptions.InvalidRequest: that is no id.
        """
        return self._get(Migration, ids.of_migration(migration))

    def create_migration(self, **attributes: Any) -> Migration:
        """Begin to move a server.

        :param attributes: server_id, destination, and optionally id: a uuid with which the very same request
            may be sent again when its answer was lost.
        """
        return self._create(Migration, **attributes)

    def abort_migration(self, migration: str | Migration) -> Migration:
        """Ask that a migration be aborted."""
        return self._get_resource(Migration, ids.of_migration(migration)).abort(self)

    def download_evidence(self, migration: str | Migration) -> bytes:
        """The signed messages of a migration, as a zip file."""
        return self._get_resource(Migration, ids.of_migration(migration)).evidence(self)

    def wait_for_migration(
        self,
        migration: str | Migration,
        *,
        interval: float = 1.0,
        wait: float | None = None,
        callback: Callable[[Migration], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Migration:
        """Wait until a migration has ended, one way or another.

        :param interval: seconds between two looks.
        :param wait: seconds after which to give up waiting; the migration goes on. None: never.
        :param callback: told of the migration at every look.
        :raises openstack.exceptions.ResourceTimeout: ``wait`` is over.
        """
        end = None if wait is None else time.monotonic() + wait
        while True:
            found = self.get_migration(migration)
            if callback is not None:
                callback(found)
            if found.is_final:
                return found
            if end is not None and time.monotonic() >= end:
                raise exceptions.ResourceTimeout(f"migration {found.id} is still {found.phase}")
            sleep(interval)

    def peers(self, **query: Any) -> Iterator[Peer]:
        """The agreements, by name."""
        return cast("Iterator[Peer]", self._list(Peer, **query))

    def get_peer(self, peer: str | Peer) -> Peer:
        """The agreement of this id, or with the peer of this name."""
        return self._get(Peer, ids.of_peer(peer))

    def create_peer(self, **attributes: Any) -> Peer:
        """Make an agreement."""
        return self._create(Peer, **attributes)

    def update_peer(self, peer: str | Peer, **attributes: Any) -> Peer:
        """Change an agreement."""
        return self._update(Peer, ids.of_peer(peer), **attributes)

    def delete_peer(self, peer: str | Peer, ignore_missing: bool = False) -> None:
        """End an agreement."""
        self._delete(Peer, ids.of_peer(peer), ignore_missing=ignore_missing)

    def load(self) -> Iterator[HostLoad]:
        """Every compute host with its load."""
        return cast("Iterator[HostLoad]", self._list(HostLoad))

    def services(self) -> Iterator[Program]:
        """Every program of SV2M that was lately known, and whether it runs."""
        return cast("Iterator[Program]", self._list(Program))
