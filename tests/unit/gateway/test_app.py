# SPDX-License-Identifier: Apache-2.0
"""What the gateway lets through to the engine, and what strangers are told."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from sv2m import errors, protocol
from sv2m.gateway.app import PATH, Gateway
from tests.protocol.clouds import MIGRATION, Pair

OFFER = Pair().run("offer").a.document("Offer")
REPLY = b"<signed/>"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        return json.loads(self.body)["error"]


class Conductor:
    """Answers, or raises, what it is given; remembers what it was asked."""

    def __init__(self, answer: dict[str, Any] | Exception | None = None) -> None:
        self.answer = answer or {"status": 204, "document_b64": None}
        self.asked: list[tuple[dict[str, Any], bytes]] = []

    def receive(self, context: dict[str, Any], document_b64: str, wait: bool = True) -> dict[str, Any]:
        self.asked.append((context, base64.b64decode(document_b64)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def call(gateway: Gateway, body: bytes = OFFER, *, method: str = "POST", path: str = PATH, **environ: Any) -> Reply:
    seen: list[Any] = []
    environment = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "REMOTE_ADDR": "192.0.2.7",
        **environ,
    }
    content = b"".join(gateway(environment, lambda status, headers: seen.append((status, headers))))
    ((status, headers),) = seen
    return Reply(int(status.split()[0]), dict(headers), content)


def test_a_document_reaches_the_conductor_byte_for_byte_under_its_migration_id() -> None:
    conductor = Conductor()
    assert call(Gateway(conductor)).status == 204
    ((context, document),) = conductor.asked
    assert document == OFFER
    assert context["migration_id"] == MIGRATION


def test_a_signed_reply_is_200_with_exactly_its_bytes() -> None:
    conductor = Conductor({"status": 200, "document_b64": base64.b64encode(REPLY).decode()})
    reply = call(Gateway(conductor))
    assert (reply.status, reply.body) == (200, REPLY)
    assert reply.headers["Content-Type"] == "application/xml"
    assert reply.headers["Content-Length"] == str(len(REPLY))
    assert reply.headers["Cache-Control"] == "no-store"


def test_being_worked_on_is_202_and_says_when_to_ask_again() -> None:
    reply = call(Gateway(Conductor({"status": 202, "document_b64": None})))
    assert (reply.status, reply.body, reply.headers["Retry-After"]) == (202, b"", "1")


def test_taken_without_a_reply_is_204_and_empty() -> None:
    reply = call(Gateway(Conductor({"status": 204, "document_b64": None})))
    assert (reply.status, reply.body) == (204, b"")
    assert "Content-Type" not in reply.headers


def test_the_versions_are_told_to_anybody() -> None:
    conductor = Conductor()
    reply = call(Gateway(conductor), b"", method="GET", path="/")
    assert (reply.status, json.loads(reply.body)) == (200, {"versions": ["1"]})
    assert not conductor.asked


@pytest.mark.parametrize("path", ["/", "", "/v1", "/v1/messages/", "/v2/messages", "//v1/messages", "/v1/Messages"])
def test_another_path_is_not_there(path: str) -> None:
    conductor = Conductor()
    reply = call(Gateway(conductor), path=path)
    assert (reply.status, reply.error["code"]) == (404, "not-found")
    assert not conductor.asked


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "post"])
def test_another_method_is_refused(method: str) -> None:
    conductor = Conductor()
    reply = call(Gateway(conductor), method=method)
    assert (reply.status, reply.error["code"]) == (400, "bad-method")
    assert "People use the secure-migration API" in reply.error["remedy"]
    assert not conductor.asked


class Unread(io.BytesIO):
    def read(self, *_: Any) -> bytes:
        raise AssertionError("a refused body was read")


@pytest.mark.parametrize("length", [protocol.MAX_DOCUMENT + 1, 1 << 62, 0, -1])
def test_a_length_out_of_bounds_is_refused_before_a_byte_is_read(length: int) -> None:
    conductor = Conductor()
    reply = call(Gateway(conductor), CONTENT_LENGTH=str(length), **{"wsgi.input": Unread()})
    assert (reply.error["fault"], reply.error["code"]) == ("peer", "document-too-large")
    assert not conductor.asked


def test_the_cap_is_the_one_configured_and_inclusive() -> None:
    assert call(Gateway(Conductor(), max_document=len(OFFER))).status == 204
    assert call(Gateway(Conductor(), max_document=len(OFFER) - 1)).error["code"] == "document-too-large"


@pytest.mark.parametrize("length", ["", "many", "12 34", "0x10", None])
def test_a_message_needs_a_length(length: str | None) -> None:
    conductor = Conductor()
    reply = call(Gateway(conductor), CONTENT_LENGTH=length, **{"wsgi.input": Unread()})
    assert (reply.error["fault"], reply.error["code"]) == ("peer", "length-required")
    assert not conductor.asked


def test_a_body_shorter_than_announced_is_refused() -> None:
    conductor = Conductor()
    reply = call(Gateway(conductor), CONTENT_LENGTH=str(len(OFFER) + 1))
    assert (reply.error["fault"], reply.error["code"]) == ("peer", "malformed-message")
    assert not conductor.asked


def test_only_the_announced_bytes_are_read() -> None:
    conductor = Conductor()
    assert call(Gateway(conductor), OFFER + b"<rest/>", CONTENT_LENGTH=str(len(OFFER))).status == 204
    assert conductor.asked[0][1] == OFFER


@pytest.mark.parametrize(
    "body",
    [
        b"not xml",
        b"<Offer/>",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        OFFER[:60],
        OFFER.replace(b"Offer", b"Coffer"),
    ],
    ids=["text", "no-namespace", "doctype", "cut", "unknown"],
)
def test_what_is_no_message_never_reaches_the_conductor(body: bytes) -> None:
    conductor = Conductor()
    reply = call(Gateway(conductor), body)
    assert (reply.status >= 400, reply.error["fault"]) == (True, "peer")
    assert not conductor.asked


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.AgreementError("no agreement"), 403),
        (errors.TooManyOffers("16 wait"), 429),
        (errors.NotFound("no migration"), 404),
        (errors.Conflict("x"), 409),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_rules_and_states_keep_their_status(error: errors.SV2MError, status: int) -> None:
    reply = call(Gateway(Conductor(error)))
    assert (reply.status, reply.error["code"]) == (status, error.code)


@pytest.mark.parametrize(
    "error", [errors.InvalidCertificate("revoked"), errors.ReplayedMessage("seen before"), errors.InvalidSignature("x")]
)
def test_what_the_peer_did_wrong_is_told_as_such_and_not_as_our_failure(error: errors.PeerError) -> None:
    reply = call(Gateway(Conductor(error)))
    assert (reply.status, reply.error["code"], reply.error["fault"]) == (400, error.code, "peer")


@pytest.mark.parametrize(
    "error",
    [
        errors.HostError("Nova failed"),
        errors.KeyManagerError("Barbican failed"),
        errors.AgentLost("the agent was restarted"),
        errors.ConfigurationError("no certificate"),
    ],
    ids=lambda error: error.code,
)
def test_a_fault_of_our_own_is_out_of_order(error: errors.SV2MError) -> None:
    assert call(Gateway(Conductor(error))).status == 503


def test_a_bug_is_out_of_order_and_explains_nothing() -> None:
    reply = call(Gateway(Conductor(RuntimeError("password=hunter2"))))
    assert reply.status == 500
    assert reply.error["code"] == "internal-error"
    assert b"hunter2" not in reply.body


def test_answers_that_are_waited_for_leave_turns_for_messages_that_are_only_taken() -> None:
    class Working(Conductor):
        waiting, over = threading.Semaphore(0), threading.Event()

        def receive(self, context: dict[str, Any], document_b64: str, wait: bool = True) -> dict[str, Any]:
            if wait:
                self.waiting.release()
                self.over.wait()
            return {"status": 202, "document_b64": None}

    conductor = Working()
    gateway = Gateway(conductor, at_a_time=4)
    polls = [threading.Thread(target=call, args=[gateway]) for _ in range(2)]
    for poll in polls:
        poll.start()
        assert conductor.waiting.acquire(timeout=60)
    # Half of the turns are taken, so these are not held.
    assert [call(gateway).status for _ in range(8)] == [202] * 8
    conductor.over.set()
    for poll in polls:
        poll.join()
