# SPDX-License-Identifier: Apache-2.0
"""A migration that is asked for while nova-api waits: answered before nova-api is asked anything.

Without that as many requests as nova-api has threads would wait for each other.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from sv2m import errors
from sv2m.api.later import Later
from sv2m.db import engine, migrations
from sv2m.db.models import Migration
from tests.unit.api.conftest import API, LOCAL_SERVER, SERVER, Killed

ID = "99999999-9999-4999-8999-999999999999"
WANTED = {"server_id": SERVER, "destination": "cloud-b.sv2m", "id": ID}


def ask(api: API, persona: str = "manager", project: str = "p1", **changes: str) -> Any:
    wanted = {"migration": {**WANTED, **changes}}
    return api("POST", "/v1/migrations", wanted, persona=persona, project=project, Prefer="respond-async")


def ended(api: API, migration_id: str = ID) -> Migration:
    """The row, when everything that was begun is over."""
    api.cloud.nova.set()
    api.services.later.close()
    with engine.session() as session:
        return migrations.get(session, migration_id)


def test_the_answer_comes_before_nova_does(api: API) -> None:
    api.cloud.nova.clear()
    response = ask(api)
    assert response.status_int == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    assert response.headers["Location"].endswith(ID)
    shown = response.json["migration"]
    assert (shown["status"], shown["phase"], shown["server_id"]) == ("running", "requested", SERVER)
    row = ended(api)
    assert (row.server_id, row.server_name, row.project_id, row.owner) == (SERVER, "web", "p1", None)
    assert api.cloud.told == [("start", ID)]
    assert [one["volume_id"] for one in row.state["copies"]] == ["v1", "v2"]
    assert api.cloud.readers == {"https://keys/v1/secrets/1": [], "https://keys/v1/secrets/2": []}
    assert "the-token" not in str(row.state)


@pytest.mark.parametrize("said", ["respond-async", "wait=10, Respond-Async; x=1"])
def test_the_preference_as_http_has_it(api: API, said: str) -> None:
    response = api("POST", "/v1/migrations", {"migration": WANTED}, Prefer=said)
    assert "Preference-Applied" in response.headers


@pytest.mark.parametrize("said", ["", "return=minimal", "respond-asynchronously"])
def test_whoever_does_not_prefer_it_is_answered_when_it_is_begun(api: API, said: str) -> None:
    response = api("POST", "/v1/migrations", {"migration": WANTED}, Prefer=said)
    assert "Preference-Applied" not in response.headers
    assert api.cloud.told == [("start", ID)]


REFUSED = {
    "unknown": ("33333333-3333-4333-8333-333333333333", "p1", {}, "not-found"),
    "another project's": (SERVER, "p2", {}, "forbidden"),
    "locked": (SERVER, "p1", {"locked": True}, "server-not-movable"),
    "busy": (SERVER, "p1", {"task_state": "rebooting"}, "server-not-movable"),
}


@pytest.mark.parametrize(("server", "project", "is_so", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_with_the_server_is_the_migrations_error(
    api: API, server: str, project: str, is_so: dict[str, Any], code: str
) -> None:
    api.cloud.servers[SERVER] = replace(api.cloud.servers[SERVER], **is_so)
    assert ask(api, project=project, server_id=server).status_int == 202
    row = ended(api)
    assert (row.status, row.phase, row.error_code, row.owner) == ("failed", "withdrawn", code, None)
    assert row.error_remedy
    # It is the asker's, and names no server that he may not have moved.
    assert (row.project_id, row.server_id) == (project, None)
    assert api.cloud.told == []


def test_what_the_database_and_the_token_tell_is_told_at_once(api: API) -> None:
    api.cloud.nova.clear()
    assert ask(api, persona="reader").status_int == 403
    assert ask(api, destination="cloud-in.sv2m").json["error"]["code"] == "no-agreement"
    with engine.session() as session:
        assert migrations.find(session, ID) is None


def test_who_asks_for_a_server_of_others_keeps_them_from_nothing(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Nova is asked whether he may see it, its owner moves it."""
    asked, answers = threading.Event(), threading.Event()
    honest = api.cloud.get

    def get(token: str, server_id: str) -> Any:
        if not asked.is_set():
            asked.set()
            answers.wait()
        return honest(token, server_id)

    monkeypatch.setattr(api.cloud, "get", get)
    assert ask(api, project="p2").status_int == 202
    asked.wait()
    own = {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m"}}
    response = api("POST", "/v1/migrations", own)
    answers.set()
    assert response.status_int == 202
    row = ended(api)
    assert (row.status, row.error_code) == ("failed", "forbidden")


def test_of_two_that_ask_at_once_one_has_the_server(api: API) -> None:
    other = ID.replace("9", "8")
    api.cloud.nova.clear()
    assert [ask(api, id=one).status_int for one in (ID, other)] == [202, 202]
    rows = [ended(api, one) for one in (ID, other)]
    assert sorted(row.status for row in rows) == ["failed", "running"]
    assert [row.error_code for row in rows if row.status == "failed"] == ["migration-exists"]


def test_the_same_request_again_is_one_migration(api: API) -> None:
    api.cloud.nova.clear()
    assert [ask(api).json["migration"]["id"] for _ in range(3)] == [ID] * 3
    assert ask(api, server_id=LOCAL_SERVER).status_int == 409
    ended(api)
    assert api.cloud.told == [("start", ID)]


def test_an_unforeseen_failure_ends_the_migration_too(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(token: str, server_id: str) -> Any:
        raise RuntimeError("what nobody has looked at")

    monkeypatch.setattr(api.cloud, "get", fails)
    assert ask(api).status_int == 202
    row = ended(api)
    assert (row.status, row.phase) == ("failed", "withdrawn")
    assert "looked at" not in str(row.error_message)


def test_a_process_that_is_killed_leaves_a_row_that_an_engine_takes(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(token: str, server_id: str) -> Any:
        raise Killed

    monkeypatch.setattr(api.cloud, "get", killed)
    assert ask(api).status_int == 202
    row = ended(api)
    # It is its owner's until it is stale, and names no server: the engine ends it with request-cut-off.
    assert (row.status, row.phase, row.owner, row.server_id) == ("running", "requested", "api:node", None)


def test_one_too_many_is_refused_before_anything_is_written(api: API) -> None:
    api.services = replace(api.services, later=Later(threads=1, most=2))
    api.application = type(api.application)(api.services)
    api.cloud.nova.clear()
    ids = [ID.replace("9", digit) for digit in "123"]
    assert [ask(api, id=one).status_int for one in ids] == [202, 202, 503]
    with engine.session() as session:
        assert migrations.find(session, ids[2]) is None
    ended(api, ids[0])


def test_a_place_is_free_again_when_its_work_is_done() -> None:
    later = Later(threads=1, most=1)
    for work in (lambda: None, _fails, lambda: None):
        while True:
            try:
                later.begin(lambda work=work: work)  # type: ignore[misc]
                break
            except errors.ServiceUnavailable:
                continue
    later.close()


def _fails() -> None:
    raise errors.NotFound("no such server")


def test_whose_server_is_being_moved_is_not_told_before_nova_was_asked(api: API) -> None:
    """The id of a server says nothing about who may know what becomes of it."""
    assert ask(api).status_int == 202
    other = "88888888-8888-4888-8888-888888888888"
    assert ask(api, project="p2", id=other).status_int == 202
    assert ended(api, other).error_code == "forbidden"
    assert ask(api, id="77777777-7777-4777-8777-777777777777").json["error"]["code"] == "migration-exists"
