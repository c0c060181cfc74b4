# SPDX-License-Identifier: Apache-2.0
"""SV2M's user is on the access lists of a server's keys for a moment: nothing stays there, or that nobody knows of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import oslo_messaging
import pytest

from sv2m import errors
from sv2m.db import engine, migrations
from sv2m.db.models import Migration
from tests.unit.api.conftest import API, LOCAL_SERVER, SERVER, Killed

ID = "99999999-9999-4999-8999-999999999999"
REFS = ["https://keys/v1/secrets/1", "https://keys/v1/secrets/2"]
WANTED = {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m", "id": ID}}
AWAY = errors.ServiceUnavailable("Barbican: HTTP 504")


def row() -> Migration:
    with engine.session() as session:
        return migrations.get(session, ID)


def recorded() -> list[bool]:
    return [one["added"] for one in row().state["acl"]]


def on_the_lists(api: API) -> list[bool]:
    return ["sv2m" in api.cloud.readers.get(ref, []) for ref in REFS]


def failing(
    api: API, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException, *, ref: str = "", done: bool = False
) -> None:
    """This call of the cloud, for this key, fails so, before or after its effect."""
    honest: Callable[..., Any] = getattr(api.cloud, call)

    def fails(*args: Any) -> Any:
        if ref and args[1] != ref:
            return honest(*args)
        if done:
            honest(*args)
        api.cloud.killed = isinstance(error, Killed)
        raise error

    monkeypatch.setattr(api.cloud, call, fails)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(
    ("call", "ref", "known"),
    [
        ("grant", REFS[0], [True, False]),
        ("grant", REFS[1], [True, True]),
        ("copy_eiks", "", [True, True]),
        ("revoke", REFS[0], [True, True]),
        ("revoke", REFS[1], [True, True]),
    ],
)
def test_whatever_is_on_a_list_when_it_is_killed_is_written_down(
    api: API, monkeypatch: pytest.MonkeyPatch, call: str, ref: str, known: list[bool], done: bool
) -> None:
    failing(api, monkeypatch, call, Killed(), ref=ref, done=done)
    with pytest.raises(Killed):
        api("POST", "/v1/migrations", WANTED)
    assert recorded() == known
    assert all(a <= b for a, b in zip(on_the_lists(api), known, strict=True))
    # Whoever takes it up sees that it was cut off.
    assert "copies" not in row().state
    assert (row().status, row().owner) == ("running", "api:node")
    with engine.session() as session:
        later = datetime.now(UTC) + timedelta(hours=1)
        assert migrations.claim(session, ID, "engine", later, timedelta(minutes=1))


def test_nobody_else_gets_it_before_the_lists_are_as_they_were(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[bool], str | None]] = []
    for call in ("copy_eiks", "revoke"):
        honest = getattr(api.cloud, call)

        def looked(*args: Any, honest: Callable[..., Any] = honest) -> Any:
            seen.append((on_the_lists(api), row().owner))
            return honest(*args)

        monkeypatch.setattr(api.cloud, call, looked)
    assert api("POST", "/v1/migrations", WANTED).status_int == 202
    assert seen == [([True, True], "api:node"), ([True, True], "api:node"), ([False, True], "api:node")]
    assert (on_the_lists(api), recorded(), row().owner) == ([False, False], [False, False], None)


def test_a_key_that_could_be_read_before_stays_so(api: API) -> None:
    api.cloud.readers[REFS[1]] = ["sv2m"]
    assert api("POST", "/v1/migrations", WANTED).status_int == 202
    assert (on_the_lists(api), recorded()) == ([False, True], [False, False])


ANOTHER = {"migration": {**WANTED["migration"], "id": "88888888-8888-4888-8888-888888888888"}}
A_THIRD = {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m"}}


def cut_off(api: API) -> None:
    """It is killed with both keys granted; an engine ends it, and Barbican lets none but the owner take that back."""
    with pytest.MonkeyPatch.context() as once:
        failing(api, once, "copy_eiks", Killed())
        with pytest.raises(Killed):
            api("POST", "/v1/migrations", WANTED)
    api.cloud.killed = False
    end(ID)
    assert on_the_lists(api) == [True, True]


def end(migration_id: str) -> None:
    with engine.session() as session:
        found = migrations.get(session, migration_id)
        migrations.advance(session, found.id, found.phase, found.generation, "withdrawn", status="failed")


@pytest.mark.parametrize("error", [None, errors.ServerNotMovable("another key")])
def test_what_a_request_that_was_killed_left_on_the_lists_the_next_one_takes_off(
    api: API, monkeypatch: pytest.MonkeyPatch, error: errors.SV2MError | None
) -> None:
    cut_off(api)
    if error is not None:
        failing(api, monkeypatch, "copy_eiks", error)
    assert api("POST", "/v1/migrations", ANOTHER).status_int == (202 if error is None else 409)
    assert on_the_lists(api) == [False, False]


def test_what_was_left_on_the_lists_is_not_forgotten_when_the_next_request_is_killed_too(
    api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(api)
    with monkeypatch.context() as once:
        failing(api, once, "granted", Killed())
        with pytest.raises(Killed):
            api("POST", "/v1/migrations", ANOTHER)
    api.cloud.killed = False
    end(ANOTHER["migration"]["id"])
    assert api("POST", "/v1/migrations", A_THIRD).status_int == 202
    assert on_the_lists(api) == [False, False]


def test_what_the_owner_granted_after_that_was_taken_off_stays(api: API) -> None:
    cut_off(api)
    assert api("POST", "/v1/migrations", ANOTHER).status_int == 202
    end(ANOTHER["migration"]["id"])
    api.cloud.readers[REFS[1]] = ["sv2m"]
    assert api("POST", "/v1/migrations", A_THIRD).status_int == 202
    assert on_the_lists(api) == [False, True]


def test_what_a_failed_service_may_have_granted_is_taken_back(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(api, monkeypatch, "grant", AWAY, ref=REFS[1], done=True)
    assert api("POST", "/v1/migrations", WANTED).status_int == 503
    assert api.cloud.readers == {REFS[0]: [], REFS[1]: []}
    assert (row().status, row().phase, row().error_code) == ("failed", "withdrawn", "service-unavailable")


def test_what_was_refused_was_not_granted(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(api, monkeypatch, "grant", errors.PolicyError("not you"), ref=REFS[1])
    failing(api, monkeypatch, "revoke", errors.PolicyError("not you"), ref=REFS[1])
    assert api("POST", "/v1/migrations", WANTED).status_int == 403
    assert api.cloud.readers == {REFS[0]: []}
    assert row().error_message == "not you"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ServiceUnavailable("sv2m-km does not answer"), "service-unavailable"),
        (oslo_messaging.MessageDeliveryFailure("no broker"), "service-unavailable"),
        (errors.ServerNotMovable("another key"), "server-not-movable"),
    ],
)
def test_without_copies_everything_is_taken_back(
    api: API, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    api.cloud.readers[REFS[1]] = ["sv2m"]
    failing(api, monkeypatch, "copy_eiks", error, done=True)
    assert api("POST", "/v1/migrations", WANTED).json["error"]["code"] == code
    assert (on_the_lists(api), recorded()) == ([False, True], [False, False])
    assert (row().status, row().phase, row().error_code) == ("failed", "withdrawn", code)
    # An engine looks for copies by their names at once, and knows how many there may be.
    assert row().tidy_at is not None and len(row().state["acl"]) == 2
    assert api.cloud.told == []


def test_whoever_can_take_it_off_the_list_is_told_when_it_stays(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    stays = errors.KeyManagerError("it may still be on the list", remedy="openstack acl user remove")
    failing(api, monkeypatch, "revoke", stays, ref=REFS[0])
    answer = api("POST", "/v1/migrations", WANTED)
    assert (answer.status_int, answer.json["error"]["remedy"]) == (503, "openstack acl user remove")
    assert on_the_lists(api) == recorded() == [True, False]
    assert (row().status, row().error_remedy) == ("failed", "openstack acl user remove")


@pytest.mark.parametrize("call", ["grant", "copy_eiks"])
def test_whoever_was_taken_for_dead_still_takes_back_what_only_he_can(
    api: API, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    honest = getattr(api.cloud, call)

    def slow(*args: Any) -> Any:
        with engine.session() as session:
            found = migrations.get(session, ID)
            if found.phase == "requested":
                migrations.advance(session, ID, found.phase, found.generation, "withdrawing", owner="engine")
        return honest(*args)

    monkeypatch.setattr(api.cloud, call, slow)
    assert api("POST", "/v1/migrations", WANTED).json["error"]["code"] == "phase-conflict"
    assert on_the_lists(api) == [False, False]
    assert (row().phase, row().owner) == ("withdrawing", "engine")


def test_a_server_without_encrypted_volumes_needs_no_key_manager(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(api, monkeypatch, "copy_eiks", AWAY)
    wanted = {"migration": {**WANTED["migration"], "server_id": LOCAL_SERVER}}
    assert api("POST", "/v1/migrations", wanted).status_int == 202
    assert (row().owner, row().state["copies"]) == (None, [])
