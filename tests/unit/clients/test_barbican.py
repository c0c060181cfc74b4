# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import logging
from typing import Any

import pytest

from sv2m import errors
from sv2m.clients.barbican import Barbican
from sv2m.clients.keystone import Keystone
from tests.unit.clients.conftest import Cloud

V1 = "http://barbican.test/v1"
ID = "0d3c8d3e-6f5c-4b56-9c2f-2f6d4b9a1e01"
REF = f"{V1}/secrets/{ID}"
KEY = bytes(range(64, 96))


@pytest.fixture
def barbican(keystone: Keystone) -> Barbican:
    return Barbican(keystone)


def holds(cloud: Cloud, payload: bytes, kind: str = "application/octet-stream") -> None:
    described = {"secret_ref": REF, "name": "k", "status": "ACTIVE", "content_types": {"default": kind}}
    cloud.http.get(
        REF, json={**described, "created": "2026-01-01T00:00:00", "updated": "2026-01-01T00:00:00"}
    )
    cloud.http.get(f"{REF}/payload", content=payload, headers={"Content-Type": kind})


def test_a_key_is_read_into_a_buffer(cloud: Cloud, barbican: Barbican) -> None:
    holds(cloud, KEY)
    assert barbican.read(REF) == bytearray(KEY)


def test_text_is_bytes_too(cloud: Cloud, barbican: Barbican) -> None:
    holds(cloud, b"word", "text/plain")
    assert barbican.read(REF) == bytearray(b"word")


def test_bytes_are_stored_as_base64(cloud: Cloud, barbican: Barbican) -> None:
    post = cloud.http.post(f"{V1}/secrets/", json={"secret_ref": REF})
    ref = barbican.store(bytearray(KEY), name="k", secret_type="symmetric", algorithm="aes", bit_length=256)
    assert ref == REF
    sent = post.last_request.json()
    assert base64.b64decode(sent["payload"]) == KEY
    assert sent["payload_content_type"] == "application/octet-stream"
    assert (sent["secret_type"], sent["algorithm"], sent["bit_length"]) == ("symmetric", "aes", 256)


@pytest.mark.parametrize("fails", [False, True])
def test_no_log_at_any_level_has_a_key(
    cloud: Cloud, barbican: Barbican, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("keystoneauth", "barbicanclient", "urllib3", "requests", "sv2m")):
            caplog.set_level(logging.DEBUG, logger=name)
    secret = base64.b64encode(KEY).decode()
    holds(cloud, secret.encode(), "text/plain")
    if fails:
        echo = {"title": "Bad", "description": f"payload {secret} is not"}
        cloud.http.post(f"{V1}/secrets/", status_code=400, json=echo)
        cloud.http.get(f"{REF}/payload", status_code=500, json=echo)
        for act in (lambda: barbican.store(KEY, name="k", secret_type="opaque"), lambda: barbican.read(REF)):
            with pytest.raises(errors.KeyManagerError) as caught:
                act()
            assert secret not in str(caught.value)
    else:
        cloud.http.post(f"{V1}/secrets/", json={"secret_ref": REF})
        barbican.store(KEY, name="k", secret_type="opaque")
        barbican.read(REF)
    assert caplog.text
    for form in (secret, KEY.hex(), KEY.decode("latin-1")):
        assert form not in caplog.text


def order(status: str, **more: Any) -> dict[str, Any]:
    meta = {
        "name": "k",
        "algorithm": "aes",
        "bit_length": 256,
        "payload_content_type": "application/octet-stream",
    }
    dates = {"created": "2026-01-01T00:00:00", "updated": "2026-01-01T00:00:00"}
    return {"order_ref": f"{V1}/orders/{ID}", "type": "key", "status": status, "meta": meta, **dates, **more}


def test_barbican_makes_the_key_and_the_order_goes(cloud: Cloud, barbican: Barbican) -> None:
    post = cloud.http.post(f"{V1}/orders/", json={"order_ref": f"{V1}/orders/{ID}"})
    cloud.http.get(
        f"{V1}/orders/{ID}", [{"json": order("PENDING")}, {"json": order("ACTIVE", secret_ref=REF)}]
    )
    gone = cloud.http.delete(f"{V1}/orders/{ID}", status_code=204)
    assert barbican.make_key("k") == REF
    assert post.last_request.json()["meta"]["bit_length"] == 256
    assert gone.call_count == 1


@pytest.mark.parametrize("removed", [204, 404, 500])
def test_an_order_that_fails_is_removed_and_its_own_error_is_told(
    cloud: Cloud, barbican: Barbican, removed: int
) -> None:
    cloud.http.post(f"{V1}/orders/", json={"order_ref": f"{V1}/orders/{ID}"})
    cloud.http.get(f"{V1}/orders/{ID}", json=order("ERROR", error_status_code="500", error_reason="no"))
    gone = cloud.http.delete(f"{V1}/orders/{ID}", status_code=removed, json={"title": "x"})
    with pytest.raises(errors.KeyManagerError, match=r"is ERROR \(status 500\)"):
        barbican.make_key("k")
    assert gone.call_count == 1


def test_an_order_that_waits_in_a_queue_for_too_long_is_removed(
    cloud: Cloud, barbican: Barbican, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sv2m.clients.barbican.ORDER_DEADLINE", 0.0)
    cloud.http.post(f"{V1}/orders/", json={"order_ref": f"{V1}/orders/{ID}"})
    cloud.http.get(f"{V1}/orders/{ID}", json=order("PENDING"))
    gone = cloud.http.delete(f"{V1}/orders/{ID}", status_code=204)
    with pytest.raises(errors.KeyManagerError, match="is PENDING"):
        barbican.make_key("k")
    assert gone.call_count == 1


def test_an_order_of_which_nothing_more_is_heard_is_removed(cloud: Cloud, barbican: Barbican) -> None:
    cloud.http.post(f"{V1}/orders/", json={"order_ref": f"{V1}/orders/{ID}"})
    cloud.http.get(f"{V1}/orders/{ID}", status_code=503, json={"title": "away"})
    gone = cloud.http.delete(f"{V1}/orders/{ID}", status_code=204)
    with pytest.raises(errors.ServiceUnavailable):
        barbican.make_key("k")
    assert gone.call_count == 1


def test_deleting_what_is_gone_is_fine(cloud: Cloud, barbican: Barbican) -> None:
    holds(cloud, KEY)
    cloud.http.get(f"{REF}/consumers", json={"consumers": [], "total": 0})
    cloud.http.delete(REF, status_code=404, json={"title": "gone"})
    barbican.delete(REF)


def test_what_is_no_reference_is_not_found(barbican: Barbican) -> None:
    with pytest.raises(errors.NotFound):
        barbican.read("http://elsewhere/../../etc")


def test_an_id_becomes_a_reference_of_this_clouds_barbican(cloud: Cloud, barbican: Barbican) -> None:
    assert barbican.reference(ID) == REF


def acl(users: list[str]) -> dict[str, Any]:
    dates = {"created": "2026-01-01T00:00:00", "updated": "2026-01-01T00:00:00"}
    return {"read": {"users": users, "project-access": False, **dates}}


def test_granting_and_revoking_leave_the_others_and_the_projects_access(
    cloud: Cloud, barbican: Barbican
) -> None:
    cloud.http.get(
        f"{REF}/acl", [{"json": acl(["eve"])}, {"json": acl(["eve", "me"])}, {"json": acl(["eve"])}]
    )
    put = cloud.http.put(f"{REF}/acl", json={"acl_ref": f"{REF}/acl"})
    barbican.grant(REF, "me")
    assert put.last_request.json() == {"read": {"project-access": False, "users": ["eve", "me"]}}
    barbican.revoke(REF, "me")
    assert put.last_request.json() == {"read": {"project-access": False, "users": ["eve"]}}
    barbican.revoke(REF, "me")
    assert put.call_count == 2


def test_what_is_found_has_the_name_and_the_mode_that_were_asked_for(cloud: Cloud, barbican: Barbican) -> None:
    """A clone that Cinder made bears the same name, and no mode."""
    shown = {"secret_ref": f"{V1}/secrets/{ID}", "name": "k", "status": "ACTIVE"}
    secrets = [{**shown, "mode": mode} for mode in ("cbc", None)]
    listed = cloud.http.get(f"{V1}/secrets", json={"secrets": secrets, "total": 2})
    assert len(barbican.find("k")) == 2
    assert "mode" not in listed.last_request.qs
    assert barbican.find("k", mode="cbc") == [f"{V1}/secrets/{ID}"]
    assert listed.last_request.qs["mode"] == ["cbc"]
