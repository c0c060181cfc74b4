# SPDX-License-Identifier: Apache-2.0
"""From a caller's request to a migration that the engine takes over.

The order makes a kill at any instant harmless. What will be granted is found first and written into the
row, each once more before it is granted; the row belongs to this process until everything is granted, so that
no engine begins too early; then it belongs to nobody, and an engine takes it, told or not. If this process dies
in between, the row goes stale, an engine takes it, finds that it cannot read the keys, ends it with that error,
and takes SV2M's user off the access lists that the row names.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import oslo_messaging
from oslo_log import log

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
    server = call.services.servers.get(call.caller.token, server_id)
    call.authorize(rules.CREATE, server.project_id)
    _check_server(server)
    with engine.session() as session:
        _check_agreement(peers.find(session, destination), destination)
        running = migrations.running_for_server(session, server_id)
    if running is not None:
        raise errors.Conflict(
            f"migration {running.id} of this server is running",
            code="migration-exists",
            remedy="Wait for it, or abort it: openstack secure migration abort " + running.id,
        )
    secrets = call.services.grants.find(call.caller.token, server.volume_ids)
    row = _create(call, migration_id, server, destination, secrets)
    row = _grant(call, row, secrets)
    wake(call, row.id, abort=False)
    return row


def wake(call: Call, migration_id: str, *, abort: bool) -> None:
    """Tell the conductor to look. That it cannot be told is no error: it looks by itself after a while."""
    conductor = call.services.conductor
    tell = conductor.abort_migration if abort else conductor.start_migration
    try:
        tell(call.rpc_context(migration_id), migration_id)
    except oslo_messaging.MessagingException:
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
    if (row.role, row.server_id, row.peer) != ("source", server_id, destination):
        raise errors.Conflict(f"migration {migration_id} is another one", code="migration-exists")
    call.authorize(rules.CREATE, row.project_id)
    return row


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


def _check_agreement(peer: Peer | None, name: str) -> None:
    if peer is None:
        raise errors.AgreementError(f"there is no agreement with {name}")
    if not peer.enabled:
        raise errors.AgreementError(f"agreement {name}: enabled is false")
    if peer.direction == "incoming":
        raise errors.AgreementError(f"agreement {name}: direction is incoming only")


def _create(
    call: Call, migration_id: str, server: Server, destination: str, secrets: list[VolumeSecret]
) -> Migration:
    now = datetime.now(UTC)
    with engine.session() as session:
        return migrations.create(
            session,
            now=now,
            id=migration_id,
            role="source",
            peer=destination,
            server_id=server.id,
            server_name=server.name[:255],
            project_id=server.project_id,
            user_id=call.caller.user_id or "",
            phase="requested",
            owner=call.services.owner,
            owner_seen_at=now,
            state={
                "credentials": call.caller.credentials,
                "request_id": call.caller.request_id,
                "acl": [_record(secret, added=False) for secret in secrets],
                "found": server.status,
            },
        )


def _grant(call: Call, row: Migration, secrets: list[VolumeSecret]) -> Migration:
    """Let SV2M's user read the keys, and hand the migration over; or take everything back and end it."""
    records = [_record(secret, added=False) for secret in secrets]
    for number, secret in enumerate(secrets):
        # Before it is done: if we die in between, whoever takes over takes off what we may have put on.
        records[number] = _record(secret, added=True)
        row = _write(row, records, owner_seen_at=datetime.now(UTC))
        try:
            added = call.services.grants.grant(call.caller.token, secret.secret_ref)
        except errors.SV2MError as error:
            # Refused, it was not done. Whether it was done by a service that then failed, nobody knows.
            records[number] = _record(secret, added=isinstance(error, errors.HostError))
            _revoke(call, records)
            _write(row, records, "withdrawn", status="failed", owner=None, **_shown(error))
            raise
        records[number] = _record(secret, added=added)
    return _write(row, records, owner=None, owner_seen_at=None)


def _write(row: Migration, records: list[dict[str, Any]], phase: str | None = None, **columns: Any) -> Migration:
    """Write down on which access lists SV2M's user was put, or may have been.

    :raises sv2m.errors.PhaseConflict: an engine has taken us for dead, and undoes what was written down.
    """
    state = {**row.state, "acl": list(records)}
    with engine.session() as session:
        return migrations.advance(
            session, row.id, row.phase, row.generation, phase or row.phase, state=state, **columns
        )


def _shown(error: errors.SV2MError) -> dict[str, str]:
    return {
        "fault": error.fault,
        "error_code": error.code,
        "error_message": error.message,
        "error_remedy": error.remedy,
    }


def _revoke(call: Call, records: list[dict[str, Any]]) -> None:
    for record in records:
        if record["added"]:
            try:
                call.services.grants.revoke(call.caller.token, record["secret_ref"])
            except errors.SV2MError:
                # The error that made us take it back is the one to report; this one is for the log.
                LOG.exception("The grant on %s could not be taken back", record["secret_ref"])


def _record(secret: VolumeSecret, *, added: bool) -> dict[str, Any]:
    return {"volume_id": secret.volume_id, "secret_ref": secret.secret_ref, "added": added}
