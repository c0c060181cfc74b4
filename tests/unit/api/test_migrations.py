# SPDX-License-Identifier: Apache-2.0
"""Moving a server, through the API."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sv2m import errors
from sv2m.api.migrations import RELEASED
from sv2m.db import audit, engine, migrations, peers
from sv2m.protocol import states
from tests.unit.api.conftest import API, LOCAL_SERVER, SERVER

ID = "99999999-9999-4999-8999-999999999999"


def wanted(server: str = SERVER, destination: str = "cloud-b.sv2m", **more: str) -> dict[str, Any]:
    return {"migration": {"server_id": server, "destination": destination, **more}}


def create(api: API, **values: str) -> dict[str, Any]:
    response = api("POST", "/v1/migrations", wanted(**values))
    assert response.status_int == 202, response.text
    found: dict[str, Any] = response.json["migration"]
    return found


def finish(migration_id: str, phase: str = "closed", status: str = "completed", **values: Any) -> None:
    with engine.session() as session:
        row = migrations.get(session, migration_id)
        migrations.advance(session, row.id, row.phase, row.generation, phase, status=status, **values)


def test_create_has_the_keys_copied_hands_over_and_tells(api: API) -> None:
    api.cloud.readers["https://keys/v1/secrets/2"] = ["somebody", "sv2m"]
    response = api("POST", "/v1/migrations", wanted())
    assert response.status_int == 202
    shown = response.json["migration"]
    assert response.headers["Location"] == f"http://localhost/v1/migrations/{shown['id']}"
    assert {key: shown[key] for key in ("role", "peer", "phase", "status", "server_name", "project_id")} == {
        "role": "source",
        "peer": "cloud-b.sv2m",
        "phase": "requested",
        "status": "running",
        "server_name": "web",
        "project_id": "p1",
    }
    assert api.cloud.told == [("start", shown["id"])]
    assert api.cloud.readers["https://keys/v1/secrets/1"] == []
    assert api.cloud.readers["https://keys/v1/secrets/2"] == ["somebody", "sv2m"]
    with engine.session() as session:
        row = migrations.get(session, shown["id"])
    assert row.owner is None
    assert row.state["acl"] == [
        {"volume_id": f"v{number}", "secret_ref": f"https://keys/v1/secrets/{number}", "added": False}
        for number in (1, 2)
    ]
    assert [(one["volume_id"], one["copy_ref"]) for one in row.state["copies"]] == list(api.cloud.copied.items())
    assert row.state["credentials"]["roles"] == ["manager", "member", "reader"]
    assert "the-token" not in str(row.state)


def test_same_request_again_is_one_migration(api: API) -> None:
    first = create(api, id=ID)
    assert create(api, id=ID)["id"] == first["id"] == ID
    assert len(api.cloud.told) == 1
    response = api("POST", "/v1/migrations", wanted(LOCAL_SERVER, id=ID))
    assert response.status_int == 409


def test_one_running_migration_of_a_server(api: API) -> None:
    first = create(api)
    response = api("POST", "/v1/migrations", wanted())
    assert response.status_int == 409
    assert response.json["error"]["code"] == "migration-exists"
    assert first["id"] in response.json["error"]["message"]
    finish(first["id"])
    create(api)


@pytest.mark.parametrize("persona", ["member", "reader"])
def test_without_the_role_the_message_names_the_rule(api: API, persona: str) -> None:
    response = api("POST", "/v1/migrations", wanted(), persona=persona)
    assert response.status_int == 403
    error = response.json["error"]
    assert "secure_migration:migrations:create" in error["message"]
    assert (error["code"], error["fault"], error["request_id"]) == ("forbidden", "policy", "req-1")
    assert not api.cloud.readers


def test_manager_of_another_project_who_sees_the_server(api: API) -> None:
    assert api("POST", "/v1/migrations", wanted(), project="p2").status_int == 403


def test_unknown_server(api: API) -> None:
    response = api("POST", "/v1/migrations", wanted("33333333-3333-4333-8333-333333333333"))
    assert (response.status_int, response.json["error"]["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("peer", "says"),
    [
        ("cloud-x.sv2m", "no agreement with cloud-x"),
        ("cloud-in.sv2m", "agreement cloud-in.sv2m: direction"),
        ("cloud-off.sv2m", "agreement cloud-off.sv2m: enabled"),
    ],
)
def test_no_agreement(api: API, peer: str, says: str) -> None:
    response = api("POST", "/v1/migrations", wanted(destination=peer))
    assert (response.status_int, response.json["error"]["code"]) == (403, "no-agreement")
    assert says in response.json["error"]["message"]


@pytest.mark.parametrize(("status", "task"), [("SHUTOFF", None), ("ACTIVE", "rebuilding")])
def test_server_in_a_state_that_does_not_move(api: API, status: str, task: str | None) -> None:
    api.cloud.servers[SERVER] = replace(api.cloud.servers[SERVER], status=status, task_state=task)
    response = api("POST", "/v1/migrations", wanted())
    assert (response.status_int, response.json["error"]["code"]) == (409, "server-not-movable")
    assert status in response.json["error"]["message"]


def test_locked_server(api: API) -> None:
    api.cloud.servers[SERVER] = replace(api.cloud.servers[SERVER], locked=True)
    response = api("POST", "/v1/migrations", wanted())
    assert (response.status_int, response.json["error"]["code"]) == (409, "server-not-movable")
    assert "unlock" in response.json["error"]["remedy"]


def test_grant_that_fails_is_taken_back_and_told(api: API) -> None:
    ref = "https://keys/v1/secrets/2"
    api.cloud.broken_secrets[ref] = errors.PolicyError("Barbican does not allow this to you")
    response = api("POST", "/v1/migrations", wanted(id=ID))
    assert response.status_int == 403
    assert api.cloud.readers["https://keys/v1/secrets/1"] == []
    assert api.cloud.told == []
    shown = api("GET", f"/v1/migrations/{ID}").json["migration"]
    assert (shown["status"], shown["phase"]) == ("failed", "withdrawn")
    assert shown["error"]["message"] == "Barbican does not allow this to you"
    # The server is free for another attempt.
    del api.cloud.broken_secrets[ref]
    create(api)


def test_broker_away_is_no_error(api: API) -> None:
    api.cloud.broker = False
    assert create(api)["phase"] == "requested"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        {},
        {"migration": {}},
        wanted("not-an-id"),
        wanted(destination="Cloud B"),
        {"migration": {**wanted()["migration"], "mode": "unsealed"}},
        {**wanted(), "more": 1},
    ],
)
def test_bad_bodies(api: API, body: Any) -> None:
    response = api("POST", "/v1/migrations", body)
    assert (response.status_int, response.json["error"]["code"]) == (400, "invalid-request")


def test_other_media_type(api: API) -> None:
    assert api("POST", "/v1/migrations", b"<x/>", Content_Type="text/xml").status_int == 415


def test_show_to_those_who_may(api: API) -> None:
    path = f"/v1/migrations/{create(api)['id']}"
    assert api("GET", path, persona="reader").status_int == 200
    assert api("GET", path, persona="admin", project="p2").status_int == 200
    for persona in ("manager", "reader"):
        response = api("GET", path, persona=persona, project="p2")
        assert (response.status_int, response.json["error"]["code"]) == (404, "not-found")
        assert api("POST", f"{path}/abort", persona=persona, project="p2").status_int == 404
        assert api("GET", f"{path}/evidence", persona=persona, project="p2").status_int == 404
    assert api("POST", f"{path}/abort", persona="reader").status_int == 403
    assert api("GET", f"{path}/evidence", persona="member").status_int == 403


def test_progress_and_errors_are_shown(api: API) -> None:
    migration_id = create(api)["id"]
    with engine.session() as session:
        migrations.record_progress(session, migration_id, bytes_done=5, bytes_total=10, bytes_sent=3)
    error = {
        "error_code": "no-room",
        "error_message": "m",
        "error_remedy": "r",
        "fault": "peer",
    }
    finish(migration_id, "refused", "refused", downtime_ms=12, **error)
    shown = api("GET", f"/v1/migrations/{migration_id}").json["migration"]
    assert (shown["bytes_done"], shown["bytes_total"], shown["bytes_sent"], shown["downtime_ms"]) == (5, 10, 3, 12)
    assert shown["error"] == {"code": "no-room", "message": "m", "remedy": "r", "fault": "peer"}
    assert shown["finished_at"] is not None
    assert shown["rate"] is None


def test_the_average_is_told_when_something_was_sent(api: API) -> None:
    migration_id = create(api)["id"]
    path = f"/v1/migrations/{migration_id}"
    assert api("GET", path).json["migration"]["average_rate"] is None
    now = datetime.now(UTC)
    with engine.session() as session:
        for seconds, sent in ((0, 0), (2, 600), (4, 1000)):
            moment = now + timedelta(seconds=seconds)
            migrations.record_progress(
                session, migration_id, bytes_done=sent, bytes_total=10, bytes_sent=sent, now=moment
            )
    shown = api("GET", path).json["migration"]
    assert (shown["average_rate"], shown["rate"]) == (250, 270)
    finish(migration_id, "closed", "completed")
    ended = api("GET", path).json["migration"]
    assert (ended["average_rate"], ended["rate"]) == (250, None)


def test_abort_is_noted_told_and_repeatable(api: API) -> None:
    migration_id = create(api)["id"]
    for _ in range(2):
        response = api("POST", f"/v1/migrations/{migration_id}/abort")
        assert response.status_int == 202
        assert response.json["migration"]["abort_requested"]
    assert ("abort", migration_id) in api.cloud.told
    finish(migration_id, "withdrawn", "aborted")
    assert api("POST", f"/v1/migrations/{migration_id}/abort", {}).status_int == 202


@pytest.mark.parametrize("phase", ["released", "receipted"])
def test_no_abort_after_the_release(api: API, phase: str) -> None:
    migration_id = create(api)["id"]
    with engine.session() as session:
        row = migrations.get(session, migration_id)
        migrations.advance(session, migration_id, "requested", row.generation, phase)
    response = api("POST", f"/v1/migrations/{migration_id}/abort")
    assert (response.status_int, response.json["error"]["code"]) == (409, "past-release")
    with engine.session() as session:
        assert not migrations.get(session, migration_id).abort_requested


def test_released_phases_are_those_that_the_protocol_cannot_leave_by_failing() -> None:
    for role, table in states.TABLES.items():
        for phase, inputs in table.items():
            assert not (phase in RELEASED[role] and "Failed" in inputs)
    assert {phase for phases in RELEASED.values() for phase in phases} <= {
        phase for table in states.TABLES.values() for phase in table
    }


def test_no_abort_of_what_has_ended(api: API) -> None:
    migration_id = create(api)["id"]
    finish(migration_id)
    response = api("POST", f"/v1/migrations/{migration_id}/abort")
    assert (response.status_int, response.json["error"]["code"]) == (409, "migration-finished")


def test_pages_follow_their_links(api: API) -> None:
    made = []
    for _ in range(5):
        made.append(create(api)["id"])
        finish(made[-1])
    path, seen = "/v1/migrations?status=completed", []
    while path:
        response = api("GET", path)
        assert len(response.json["migrations"]) <= 2
        seen += [one["id"] for one in response.json["migrations"]]
        links = response.json.get("migrations_links", [])
        path = links[0]["href"].removeprefix("http://localhost") if links else ""
    assert seen == made[::-1]
    assert len(api("GET", "/v1/migrations?limit=999").json["migrations"]) == 3


def test_lists_show_the_project_unless_an_admin_asks_for_all(api: API) -> None:
    create(api)
    assert len(api("GET", "/v1/migrations", project="p2").json["migrations"]) == 0
    everything = "/v1/migrations?all_projects=true"
    assert len(api("GET", everything, persona="admin", project="p2").json["migrations"]) == 1
    assert api("GET", everything).status_int == 403
    assert len(api("GET", "/v1/migrations?role=destination").json["migrations"]) == 0
    assert len(api("GET", f"/v1/migrations?server_id={SERVER}").json["migrations"]) == 1


def test_what_the_server_did_when_it_was_asked_for_is_written_down(api: API) -> None:
    """Whether it had a memory to lose: the engine may find it stopped at its very first look."""
    migration_id = create(api)["id"]
    with engine.session() as session:
        assert migrations.get(session, migration_id).state["found"] == "ACTIVE"


def test_a_list_says_of_a_migration_what_is_said_of_it_alone(api: API) -> None:
    migration_id = create(api)["id"]
    error = {"fault": "host", "error_code": "memory-lost", "error_message": "it ended", "error_remedy": "Start it."}
    finish(migration_id)
    with engine.session() as session:
        assert migrations.tell(session, migration_id, error)
    alone = api("GET", f"/v1/migrations/{migration_id}").json["migration"]
    assert api("GET", "/v1/migrations").json["migrations"] == [alone]
    assert alone["error"] == {"code": "memory-lost", "message": "it ended", "remedy": "Start it.", "fault": "host"}


@pytest.mark.parametrize("query", ["colour=red", "status=lost", "limit=-1", "limit=x", "marker=x"])
def test_bad_queries(api: API, query: str) -> None:
    assert api("GET", f"/v1/migrations?{query}").status_int == 400


def test_unknown_marker(api: API) -> None:
    assert api("GET", f"/v1/migrations?marker={ID}").status_int == 400


def test_an_agreement_that_ends_does_not_hide_its_migrations(api: API) -> None:
    migration_id = create(api)["id"]
    finish(migration_id)
    with engine.session() as session:
        peers.delete(session, "cloud-b.sv2m")
    assert api("GET", f"/v1/migrations/{migration_id}").status_int == 200


def released(api: API, phase: str = "released", role: str = "source") -> str:
    """A migration in a phase in which a person may have to decide."""
    migration_id: str = create(api)["id"]
    with engine.session() as session:
        row = migrations.get(session, migration_id)
        row.role, row.phase = role, phase
    return migration_id


def decide(api: API, migration_id: str, kind: str, reason: str = "the site has burnt down", **who: str) -> Any:
    body = {"decision": {"kind": kind, "reason": reason}}
    return api("POST", f"/v1/migrations/{migration_id}/decide", body, **{"persona": "admin", **who})


def test_a_decision_is_noted_told_and_repeatable(api: API) -> None:
    migration_id = released(api)
    for _ in range(2):
        response = decide(api, migration_id, "taken-back")
        assert response.status_int == 202
        assert response.json["migration"]["decision"]["kind"] == "taken-back"
    assert ("start", migration_id) in api.cloud.told
    with engine.session() as session:
        told = [one.line for one in audit.list_for(session, migration_id) if '"action":"decided"' in one.line]
    (line,) = told
    assert '"reason":"the site has burnt down"' in line and '"role":"source"' in line
    assert '"roles":["admin"' in line and '"user_id":"' in line


def test_a_decision_may_be_thought_over_until_it_is_followed(api: API) -> None:
    migration_id = released(api)
    decide(api, migration_id, "let-go")
    assert decide(api, migration_id, "taken-back").json["migration"]["decision"]["kind"] == "taken-back"


@pytest.mark.parametrize("persona", ["reader", "member", "manager"])
def test_who_may_not_decide(api: API, persona: str) -> None:
    migration_id = released(api)
    assert decide(api, migration_id, "taken-back", persona=persona).status_int == 403
    with engine.session() as session:
        assert "decision" not in (migrations.get(session, migration_id).state or {})


@pytest.mark.parametrize(
    ("role", "phase", "kind", "says"),
    [
        ("source", "transferring", "taken-back", "it can be aborted"),
        ("source", "receipted", "taken-back", "goes on by itself"),
        ("source", "reclaiming", "let-go", "it has been decided"),
        ("source", "released", "lost", "is for the destination to say"),
        ("destination", "resuming", "taken-back", "is for the source to say"),
        ("destination", "resuming", "accept-key", "waits for the host"),
        ("destination", "prepared", "lost", "it can be aborted"),
        ("destination", "resumed", "lost", "goes on by itself"),
    ],
)
def test_what_is_not_to_be_decided_now_says_what_it_waits_for(
    api: API, role: str, phase: str, kind: str, says: str
) -> None:
    response = decide(api, released(api, phase, role), kind)
    assert (response.status_int, response.json["error"]["code"]) == (409, "nothing-to-decide")
    assert says in response.json["error"]["message"]


@pytest.mark.parametrize("reason", ["", "x" * 1001, "two\nlines", "\x1b[2J"])
def test_a_reason_is_a_line_that_can_be_signed(api: API, reason: str) -> None:
    assert decide(api, released(api), "taken-back", reason).status_int == 400
