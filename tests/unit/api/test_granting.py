# SPDX-License-Identifier: Apache-2.0
"""SV2M's user is put on the access lists of a server's keys: nothing is put there that nobody knows of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sv2m import errors
from sv2m.db import engine, migrations
from tests.unit.api.conftest import API, SERVER

ID = "99999999-9999-4999-8999-999999999999"
REFS = ["https://keys/v1/secrets/1", "https://keys/v1/secrets/2"]
WANTED = {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m", "id": ID}}


class Killed(BaseException):
    """SIGKILL."""


def recorded() -> list[bool]:
    with engine.session() as session:
        return [one["added"] for one in migrations.get(session, ID).state["acl"]]


def failing(api: API, monkeypatch: pytest.MonkeyPatch, ref: str, error: BaseException, *, done: bool) -> None:
    """Granting this key fails so, before or after its effect."""
    honest: Callable[[str, str], bool] = api.cloud.grant

    def grant(token: str, secret_ref: str) -> bool:
        if secret_ref != ref:
            return honest(token, secret_ref)
        if done:
            honest(token, secret_ref)
        raise error

    monkeypatch.setattr(api.cloud, "grant", grant)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("ref", "known"), [(REFS[0], [True, False]), (REFS[1], [True, True])])
def test_a_grant_is_written_down_before_it_is_made(
    api: API, monkeypatch: pytest.MonkeyPatch, ref: str, known: list[bool], done: bool
) -> None:
    failing(api, monkeypatch, ref, Killed(), done=done)
    with pytest.raises(Killed):
        api("POST", "/v1/migrations", WANTED)
    assert recorded() == known
    with engine.session() as session:
        row = migrations.get(session, ID)
        assert (row.status, row.owner) == ("running", "api:node")
        later = datetime.now(UTC) + timedelta(hours=1)
        assert migrations.claim(session, ID, "engine", later, timedelta(minutes=1))


def test_a_key_that_could_be_read_before_stays_so(api: API) -> None:
    api.cloud.readers[REFS[1]] = ["sv2m"]
    assert api("POST", "/v1/migrations", WANTED).status_int == 202
    assert recorded() == [True, False]


def test_what_a_failed_service_may_have_granted_is_taken_back(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(api, monkeypatch, REFS[1], errors.ServiceUnavailable("Barbican: HTTP 504"), done=True)
    assert api("POST", "/v1/migrations", WANTED).status_int == 503
    assert api.cloud.readers == {REFS[0]: [], REFS[1]: []}


def test_what_was_refused_was_not_granted(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    api.cloud.readers[REFS[1]] = ["sv2m"]
    failing(api, monkeypatch, REFS[1], errors.PolicyError("not you"), done=False)
    assert api("POST", "/v1/migrations", WANTED).status_int == 403
    assert api.cloud.readers == {REFS[0]: [], REFS[1]: ["sv2m"]}
