# SPDX-License-Identifier: Apache-2.0
"""From a caller's request to a migration that the engine takes over.

What needs the caller's token is done here, in the process that has it: SV2M's user is put on the access lists of the
keys, KM copies the keys into SV2M's own project, SV2M's user is taken off again. The copies are what the engine has.

It is done within the request, and what is wrong is the answer; or, for a caller who cannot wait for what SV2M has to
ask (nova-api, whose thread waits meanwhile), right after the answer, and what is wrong is the migration's error. Then
the row names no server, nor its project, until Nova has shown that one to the caller: what anybody may ask for must
keep nobody from moving his own server.

The order makes a kill at any instant harmless. Which keys there are is written into the row first, and of each, before
it is granted, that it may be; the row belongs to this process until nothing is granted any more, so that no engine
begins too early; then it belongs to nobody, and an engine takes it, told or not. If this process dies in between, the
row goes stale, and an engine takes it, finds no copies named there, ends it with that error, destroys what was copied,
by its name, and takes SV2M's user off the access lists that the row names, as far as Barbican lets it. Where it does
not, the next request of the server does, which has a token that may.
"""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import oslo_messaging
from oslo_db import exception as db_exc
from oslo_log import log
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.api.call import Call
from sv2m.api.ports import Server, VolumeSecret
from sv2m.db import engine, migrations, peers
from sv2m.db.models import Migration, Peer
from sv2m.policies import migrations as rules

LOG = log.getLogger(__name__)

#: Nova's states from which SV2M can move a server.
MOVABLE = ("ACTIVE", "PAUSED")


def start(call: Call, wanted: Mapping[str, Any]) -> Migration:
    """Begin to move a server.

    :param wanted: ``server_id``, ``destination``, and ``id`` if the caller chose one.
    :returns: the migration, in phase ``requested``; the one made before, when the same request came before.
    :raises sv2m.errors.SV2MError: why not. Nothing was changed, or it was taken back.
    """
    migration_id = wanted.get("id") or str(uuid.uuid4())
    server_id, destination = wanted["server_id"], wanted["destination"]
    before = _made_before(call, migration_id, server_id, destination)
    if before is not None:
        return before
    server = _movable(call, server_id)
    _check_free(server_id, destination)
    secrets = call.services.grants.find(call.caller.token, server.volume_ids)
    row = _create(call, migration_id, destination, **_found(call, server, secrets))
    row = _copy_keys(call, row)
    wake(call, row.id, abort=False)
    return row


def start_later(call: Call, wanted: Mapping[str, Any]) -> Migration:
    """As :func:`start`, but answer before anything is asked but the database and the caller's token.

    :raises sv2m.errors.SV2MError: why not, as far as these know; nothing was changed.
    """
    migration_id = wanted.get("id") or str(uuid.uuid4())
    server_id, destination = wanted["server_id"], wanted["destination"]
    before = _made_before(call, migration_id, server_id, destination)
    if before is not None:
        return before
    # Of a server of the caller's own project; of which it is shows later, and is looked at again then.
    call.authorize(rules.CREATE)
    _check_free(server_id, destination, call.caller.project_id or "")
    made: list[Migration] = []

    def prepare() -> Callable[[], None]:
        asked = {"project_id": call.caller.project_id or "", "state": {**_who(call), "asked": server_id}}
        made.append(_create(call, migration_id, destination, **asked))
        return partial(_go_on, call, made[0])

    call.services.later.begin(prepare)
    return made[0]


def _go_on(call: Call, row: Migration) -> None:
    """What :func:`start` does before its answer; what is wrong ends the migration.

    :raises sv2m.errors.SV2MError: it, when it is written down.
    """
    server_id = row.state["asked"]
    try:
        server = _movable(call, server_id)
        _check_free(server_id, row.peer)
        secrets = call.services.grants.find(call.caller.token, server.volume_ids)
        row = _claim(row, **_found(call, server, secrets))
    except Exception as error:
        _end(row, {}, error)
        raise
    row = _copy_keys(call, row)
    wake(call, row.id, abort=False)


def _claim(row: Migration, *, state: dict[str, Any], **columns: Any) -> Migration:
    """The server is the migration's from now on, and no other one's."""
    try:
        return _write(row, state, alive=True, running_server_id=columns["server_id"], **columns)
    except db_exc.DBDuplicateEntry as error:
        # The unique constraint decides between two who both found the server free.
        raise errors.Conflict(
            f"a migration of server {columns['server_id']} is already running", code="migration-exists"
        ) from error


def _end(row: Migration, state: Mapping[str, Any], error: Exception) -> None:
    shown = error if isinstance(error, errors.SV2MError) else errors.SV2MError("sv2m-api failed unexpectedly")
    told: dict[str, Any] = _shown(shown)
    _write(row, state, "withdrawn", status="failed", owner=None, **told)


def wake(call: Call, migration_id: str, *, abort: bool) -> None:
    """Tell the conductor to look. That it cannot be told is no error: it looks by itself after a while."""
    conductor = call.services.conductor
    tell = conductor.abort_migration if abort else conductor.start_migration
    try:
        tell(call.rpc_context(migration_id), migration_id)
    except (oslo_messaging.MessagingException, errors.ServiceUnavailable):
        LOG.warning(
            "The conductor could not be told of migration %s; it finds it by itself",
            migration_id,
            exc_info=True,
        )


def _made_before(call: Call, migration_id: str, server_id: str, destination: str) -> Migration | None:
    with engine.session() as session:
        row = migrations.find(session, migration_id)
    if row is None:
        return None
    if (row.role, row.server_id or row.state.get("asked"), row.peer) != ("source", server_id, destination):
        raise errors.Conflict(f"migration {migration_id} is another one", code="migration-exists")
    call.authorize(rules.CREATE, row.project_id)
    return row


def _movable(call: Call, server_id: str) -> Server:
    """The server, if the caller may have it moved and it can be."""
    server = call.services.servers.get(call.caller.token, server_id)
    call.authorize(rules.CREATE, server.project_id)
    _check_server(server)
    return server


def _check_server(server: Server) -> None:
    if server.status not in MOVABLE or server.task_state is not None:
        doing = f", task {server.task_state}" if server.task_state else ""
        raise errors.ServerNotMovable(
            f"server {server.id} is {server.status}{doing}; it must be {' or '.join(MOVABLE)} and at rest",
            remedy="Bring it into one of these states and try again.",
        )
    if server.locked:
        raise errors.ServerNotMovable(
            f"server {server.id} is locked",
            remedy="Unlock it (openstack server unlock), or leave it where whoever locked it wants it.",
        )


def _check_free(server_id: str, destination: str, only_of: str | None = None) -> None:
    """There is an agreement, and the server is in no other migration.

    :param only_of: the project whose migrations are told of; None: Nova has said that the caller may see the server.
    """
    with engine.session() as session:
        _check_agreement(peers.find(session, destination), destination, [one.name for one in peers.list_all(session)])
        running = migrations.running_for_server(session, server_id)
    if running is not None and only_of in (None, running.project_id):
        raise errors.Conflict(
            f"migration {running.id} of this server is running",
            code="migration-exists",
            remedy="Wait for it, or abort it: openstack secure migration abort " + running.id,
        )


def _check_agreement(peer: Peer | None, name: str, known: Sequence[str]) -> None:
    if peer is None:
        like = difflib.get_close_matches(name, known, 1)
        hint = f"; there is one with {like[0]}" if like else ""
        raise errors.AgreementError(f"there is no agreement with {errors.shown(name)}{hint}")
    if not peer.enabled:
        raise errors.AgreementError(f"agreement {name}: enabled is false")
    if peer.direction == "incoming":
        raise errors.AgreementError(f"agreement {name}: direction is incoming only")


def _create(call: Call, migration_id: str, destination: str, **columns: Any) -> Migration:
    def create(session: Session) -> Migration:
        now = engine.now(session)
        return migrations.create(
            session,
            now=now,
            id=migration_id,
            role="source",
            peer=destination,
            user_id=call.caller.user_id or "",
            phase="requested",
            owner=call.services.owner,
            owner_seen_at=now,
            **columns,
        )

    return engine.transaction(create)


def _who(call: Call) -> dict[str, Any]:
    """Who asks, for a migration's ``state``."""
    return {"credentials": call.caller.credentials, "request_id": call.caller.request_id}


def _found(call: Call, server: Server, secrets: list[VolumeSecret]) -> dict[str, Any]:
    """What Nova and Cinder have shown of a server, as columns."""
    with engine.session() as session:
        # What an earlier request was kept from taking back is ours to take back, whatever becomes of this one.
        left = migrations.grants_of_server(session, server.id)
    acl = [_record(secret, added=left.get(secret.secret_ref, False)) for secret in secrets]
    return {
        "server_id": server.id,
        "server_name": server.name[:255],
        "project_id": server.project_id,
        "state": {**_who(call), "acl": acl, "found": server.status},
    }


def _copy_keys(call: Call, row: Migration) -> Migration:
    """Have KM copy the keys, which SV2M's user may read only meanwhile, and hand the migration over; or end it.

    What an end leaves of copies, the engine that tidies up after it destroys.
    """
    records = [dict(record) for record in row.state["acl"]]
    try:
        try:
            for record in records:
                if call.services.grants.granted(call.caller.token, record["secret_ref"]):
                    # Not by us, not for us: it stays. What the row says that we have added goes all the same.
                    continue
                # Before it is done: if we die in between, whoever takes over takes off what we may have put on.
                record["added"] = True
                row = _write(row, {"acl": records}, alive=True)
                _grant(call, record)
            copies = _copies(call, row, records)
        finally:
            # Whatever happened, and whoever has the row now: nobody else can.
            _revoke(call, records)
    except errors.SV2MError as error:
        _end(row, {"acl": records}, error)
        raise
    return _write(row, {"acl": records, "copies": copies}, owner=None, owner_seen_at=None)


def _grant(call: Call, record: dict[str, Any]) -> None:
    try:
        call.services.grants.grant(call.caller.token, record["secret_ref"])
    except errors.SV2MError as error:
        # Refused, it was not done. Whether it was done by a service that then failed, nobody knows.
        record["added"] = isinstance(error, errors.HostError)
        raise


def _copies(call: Call, row: Migration, records: list[dict[str, Any]]) -> list[dict[str, str]]:
    if not records:
        return []
    secrets = {record["volume_id"]: record["secret_ref"] for record in records}
    try:
        copies: list[dict[str, str]] = call.services.keys.copy_eiks(call.rpc_context(row.id), row.id, secrets)["copies"]
    except oslo_messaging.MessagingException as error:
        raise errors.ServiceUnavailable(
            f"KM, a module of this cloud's engine, did not copy the keys ({type(error).__name__}): it, or the message "
            "broker, was away"
        ) from error
    return copies


def _revoke(call: Call, records: list[dict[str, Any]]) -> None:
    """Take SV2M's user off the access lists on which it was put, or may have been.

    :raises sv2m.errors.KeyManagerError: it may be on one still. This is then the error to report: the caller is who can
        take it off.
    """
    left = None
    for record in records:
        if record["added"]:
            try:
                call.services.grants.revoke(call.caller.token, record["secret_ref"])
                record["added"] = False
            except errors.SV2MError as error:
                LOG.exception("The grant on %s could not be taken back", record["secret_ref"])
                left = left or error
    if left is not None:
        raise left


def _write(
    row: Migration, state: Mapping[str, Any], phase: str | None = None, *, alive: bool = False, **columns: Any
) -> Migration:
    """Write down, in ``acl``, on which access lists SV2M's user is, or may be, and in ``copies`` what the engine uses.

    :param alive: we go on with it: no engine is to take us for dead.
    :raises sv2m.errors.PhaseConflict: an engine has taken us for dead, and undoes what was written down.
    """
    whole = {**row.state, **state}

    def write(session: Session) -> Migration:
        if alive:
            columns["owner_seen_at"] = engine.now(session)
        at = row.id, row.phase, row.generation, phase or row.phase
        return migrations.advance(session, *at, state=whole, **columns)

    return engine.transaction(write)


def _shown(error: errors.SV2MError) -> dict[str, str]:
    return {
        "fault": error.fault,
        "error_code": error.code,
        "error_message": error.message,
        "error_remedy": error.remedy,
    }


def _record(secret: VolumeSecret, *, added: bool) -> dict[str, Any]:
    return {"volume_id": secret.volume_id, "secret_ref": secret.secret_ref, "added": added}
