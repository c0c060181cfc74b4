# SPDX-License-Identifier: Apache-2.0
"""The operator's token ends while the server moves: a migration that was begun rightly goes on without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from lab.catalog import RESEARCH
from lab.guests import Guests, until
from lab.rest import ApiError
from tests.cloud.world import World
from tests.faults.hold import Hold, arm
from tests.faults.matrix import ENTERED

#: Seconds that a short token is good for: for a request, and little more.
_SHORT = 60


def _ask(world: World, method: str, token: str) -> None:
    """Ask A's Keystone about a token, as an administrator. Raises: ApiError, 404 when it is not good."""
    admin, side = world.a.admin, world.a.session
    with side.in_network():
        admin.client._send(method, side.cloud.auth_url + "/auth/tokens", None, {"X-Subject-Token": token})


def _revoked(operator: Guests, world: World) -> None:
    _ask(world, "DELETE", operator.client._token)


def _over(operator: Guests, world: World) -> None:
    """It ends by itself; :func:`test_a_migration_goes_on_when_its_operators_token_has_ended` waits for that."""


def _short_lived(operator: Guests) -> None:
    """Exchange the operator's token for one that is as short-lived as the application credential behind it."""
    ends = datetime.now(UTC) + timedelta(seconds=_SHORT)
    wanted = {"name": "short", "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.000000"), "unrestricted": False}
    user = operator.client.token["user"]["id"]
    made = operator.call(
        "POST", "keystone", f"/users/{user}/application_credentials", {"application_credential": wanted}
    )["application_credential"]
    credential = {"id": made["id"], "secret": made["secret"]}
    identity = {"methods": ["application_credential"], "application_credential": credential}
    operator.client._login = json.dumps({"auth": {"identity": identity}}).encode()
    with operator.session.in_network():
        operator.client._authenticate()


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [("revoked-token", lambda operator: None, _revoked), ("expired-token", _short_lived, _over)],
    ids=["revoked", "expired"],
)
def test_a_migration_goes_on_when_its_operators_token_has_ended(
    world: World, name: str, begin: Callable[[Guests], None], end: Callable[[Guests, World], None]
) -> None:
    server = world.a.manager.boot(name, volume_type=None)
    before = world.a.manager.wait_for_count(server, 5)
    operator = Guests(world.a.session, "mona", RESEARCH)
    begin(operator)
    token = operator.client._token
    transferring = Hold(world.a, "source", "transferring", ENTERED, name, "token")
    transferring.take()
    arm(world.a, [transferring])
    try:
        migration = world.request(world.a, server, by=operator)
        assert operator.client._token == token, "it was this token that asked"
        until(lambda: transferring.waiting() or None, "the data is to move", pause=0.05)
        end(operator, world)
        until(lambda: None if _good(world, token) else True, "Keystone does not take the token any more", 2 * _SHORT)
        assert world.a.migration(migration)["phase"] == "transferring"
    finally:
        transferring.let_go()
        arm(world.a, [])
    assert world.finished(world.a, migration)["status"] == "completed"
    landed = world.finished(world.b, migration)["server_id"]
    assert world.b.manager.wait_for_count(landed, before.count + 3).boot == before.boot
    assert not _good(world, token)


def _good(world: World, token: str) -> bool:
    """Whether Keystone takes a token."""
    try:
        _ask(world, "GET", token)
    except ApiError as error:
        assert error.status == 404, error
        return False
    return True
