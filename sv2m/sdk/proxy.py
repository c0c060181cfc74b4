# SPDX-License-Identifier: Apache-2.0
"""The calls: ``connection.secure_migration``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from keystoneauth1 import exceptions as ks_exceptions
from openstack import exceptions, proxy

from sv2m.sdk import ids
from sv2m.sdk.load import HostLoad
from sv2m.sdk.migration import Migration
from sv2m.sdk.peer import Peer
from sv2m.sdk.program import Program


class _Answers:
    """Asks again while nobody answers."""

    def __init__(self, patience: float, silent: Callable[[Exception], None] | None) -> None:
        self._patience = patience
        self._silent = silent

    def get(self, ask: Callable[[], Migration], sleep: Callable[[float], None], interval: float) -> Migration:
        """An answer.

        :raises Exception: the last failure, when none came in all the time.
        """
        end = time.monotonic() + self._patience
        told = False
        while True:
            try:
                return ask()
            except (exceptions.HttpException, ks_exceptions.ConnectFailure) as error:
                if not _is_silence(error) or time.monotonic() >= end:
                    raise
                if self._silent is not None and not told:
                    self._silent(error)
                told = True
                sleep(interval)


def _is_silence(error: Exception) -> bool:
    """Whether another try may be answered: nothing came, or a service that is out of order."""
    return not isinstance(error, exceptions.HttpException) or (error.status_code or 500) >= 500


class Proxy(proxy.Proxy):
    """Version 1 of the API."""

    api_version = "1"

    def migrations(self, **query: Any) -> Iterator[Migration]:
        """Migrations, newest first.

        :param query: status, phase, role, server_id, peer, project_id, user_id, changes_since, sort_dir, all_projects,
            limit, marker.
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

    def decide_migration(self, migration: str | Migration, kind: str, reason: str) -> Migration:
        """Say how a migration goes on of which nobody else can say it; the cloud answers for it.

        :param kind: lost, running, taken-back, let-go or accept-key.
        :param reason: why, for the evidence.
        """
        return self._get_resource(Migration, migration).decide(self, kind, reason)

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
        patience: float = 300.0,
        silent: Callable[[Exception], None] | None = None,
    ) -> Migration:
        """Wait until a migration has ended, one way or another.

        :param interval: seconds between two looks.
        :param wait: seconds after which to give up waiting; the migration goes on. None: never.
        :param callback: told of the migration at every look.
        :param patience: seconds for which the API may fail to answer, or say that it is out of order; the migration
            does not depend on it.
        :param silent: told, once each time, that it does.
        :raises openstack.exceptions.ResourceTimeout: ``wait`` is over.
        """
        end = None if wait is None else time.monotonic() + wait
        answers = _Answers(patience, silent)
        while True:
            found = answers.get(lambda: self.get_migration(migration), sleep, interval)
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
