# SPDX-License-Identifier: Apache-2.0
"""The peer-facing web application: takes one signed document, hands it to the engine, returns the engine's answer.

It decides nothing and holds no key. What it does do is keep strangers' bytes small and well-formed before anything
behind it sees them: one path, one method, a size cap per kind of message, and a parser that knows no DTD.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from sv2m import errors, protocol, rpc
from sv2m.gateway import door

LOG = logging.getLogger(__name__)

PATH = "/v1/messages"
CONTENT_TYPE = "application/xml"
#: Bytes in which a document has said what it claims to be.
_BEGIN = 1024
#: Seconds that a message waits for its turn; then its sender is told to ask again later.
_TURN = 20.0
#: For whoever has come here without meaning to.
_STRANGERS = "Other clouds' SV2M speak to this gateway. People use the secure-migration API of their own cloud."
#: For whoever has sent what is wrong.
_SENDERS = "Look into the log of your own cloud's SV2M, and tell this cloud's operators the message if it seems right."
Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def _nobody(*_: int) -> None:
    """There is no door: another server than ours runs the application."""


class Conductor(Protocol):
    """What the gateway needs of the engine."""

    def receive(self, context: dict[str, Any], document_b64: str, wait: bool) -> dict[str, Any]:
        """Take one signed document; answer ``{"status": 200|202|204, "document_b64": str | None}``.

        :param wait: whether the answer may take as long as the engine is at work on it.
        """
        ...


class Gateway:
    """WSGI application.

    :param conductor: who answers.
    :param at_a_time: messages about which it is asked at the same time.
    :param max_document: bytes of the largest document of the protocol.
    """

    def __init__(
        self, conductor: Conductor, at_a_time: int = 16, max_document: int = protocol.MAX_DOCUMENT
    ) -> None:
        self._conductor = conductor
        self._turns = threading.BoundedSemaphore(at_a_time)
        # The others are for messages that are only taken: however many answers are waited for, a Release finds a turn.
        self._waits = threading.BoundedSemaphore(max(1, at_a_time // 2))
        self._max_document = max_document

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; see PEP 3333."""
        try:
            return self._answer(environ, start_response)
        except errors.SV2MError as error:
            LOG.warning("Refused a message from %s: %s (%s)", environ.get("REMOTE_ADDR"), error, error.code)
            # What is our own fault is not explained to strangers.
            ours = error.fault in ("host", "internal")
            if ours:
                shown = errors.HostError("this cloud is out of order", remedy="Ask again later.")
                return self._error(start_response, shown, HTTPStatus.SERVICE_UNAVAILABLE)
            return self._error(start_response, error, None)
        except Exception:
            LOG.exception("Unexpected failure on a message from %s", environ.get("REMOTE_ADDR"))
            return self._error(
                start_response, errors.SV2MError("this gateway failed", code="internal-error"), None
            )

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/" and environ["REQUEST_METHOD"] == "GET":
            return self._reply(start_response, HTTPStatus.OK, b'{"versions": ["1"]}\n', "application/json")
        if environ.get("PATH_INFO") != PATH:
            raise errors.NotFound("this gateway has one path, " + PATH, remedy=_STRANGERS)
        if environ["REQUEST_METHOD"] != "POST":
            raise errors.LocalError("only POST is answered here", code="bad-method", remedy=_STRANGERS)
        document = self._read(environ)
        peek = protocol.peek(document)
        context = {"migration_id": peek.migration_id, "request_id": f"peer-{peek.migration_id}"}
        rpc.logged_as(context["request_id"])
        answer = self._ask(context, document)
        status = HTTPStatus(answer["status"])
        body = base64.b64decode(answer["document_b64"]) if answer.get("document_b64") else b""
        return self._reply(start_response, status, body, CONTENT_TYPE)

    def _ask(self, context: dict[str, Any], document: bytes) -> dict[str, Any]:
        if not self._turns.acquire(timeout=_TURN):
            raise errors.ServiceUnavailable("too many messages at a time")
        wait = self._waits.acquire(blocking=False)
        try:
            return self._conductor.receive(context, base64.b64encode(document).decode("ascii"), wait)
        finally:
            if wait:
                self._waits.release()
            self._turns.release()

    def _read(self, environ: Environ) -> bytes:
        try:
            length = int(environ.get("CONTENT_LENGTH") or "")
        except ValueError as error:
            raise errors.MalformedMessage("a message needs a Content-Length", code="length-required") from error
        if not 0 < length <= self._max_document:
            raise errors.MalformedMessage(
                f"a document has 1 to {self._max_document} bytes", code="document-too-large"
            )
        # What does not begin like one of our documents, or is longer than its kind can be, is not read to its end.
        begin: bytes = environ["wsgi.input"].read(min(length, _BEGIN))
        kind = protocol.peek(begin).kind
        if length > protocol.MAX_SMALL:
            if kind != "Transfer":
                raise errors.MalformedMessage(f"a {kind} has at most {protocol.MAX_SMALL} bytes")
            environ.get(door.HOLD, _nobody)(length)
        document: bytes = begin + environ["wsgi.input"].read(length - len(begin))
        if len(document) != length:
            raise errors.MalformedMessage("the document ends before its Content-Length")
        environ.get(door.HEARD, _nobody)()
        return document

    def _reply(
        self, start_response: StartResponse, status: HTTPStatus, body: bytes, content_type: str
    ) -> Iterable[bytes]:
        headers = [("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        if body:
            headers.append(("Content-Type", content_type))
        if status is HTTPStatus.ACCEPTED:
            headers.append(("Retry-After", "1"))
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    def _error(
        self, start_response: StartResponse, error: errors.SV2MError, status: HTTPStatus | None
    ) -> Iterable[bytes]:
        # From the peer's side a PeerError is a bad request: it is the one who reads this.
        bad_request = isinstance(error, errors.PeerError)
        remedy = _SENDERS if bad_request else error.remedy
        body = {"error": {"code": error.code, "message": error.message, "remedy": remedy, "fault": error.fault}}
        status = status or (HTTPStatus.BAD_REQUEST if bad_request else HTTPStatus(error.http_status))
        return self._reply(start_response, status, json.dumps(body).encode(), "application/json")
