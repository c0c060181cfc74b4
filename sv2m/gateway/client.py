# SPDX-License-Identifier: Apache-2.0
"""The client of a peer's gateway: one signed document out, the answer back.

TLS keeps the conversation from onlookers and tells an unreachable peer from a wrong one early; what is believed is
decided by the documents' signatures alone.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import requests

from sv2m import errors, exchange, protocol
from sv2m.gateway import tls
from sv2m.gateway.app import CONTENT_TYPE, PATH
from sv2m.protocol import fields


@dataclass(frozen=True)
class Answer:
    """What the peer said.

    :param done: False means "being worked on, ask again with the very same bytes".
    :param document: the peer's signed reply, None where the protocol has none.
    """

    done: bool
    document: bytes | None


@contextmanager
def _file_of(pem: str) -> Iterator[str]:
    # ssl can load a CA from a string, but requests insists on a bundle's path as well.
    handle, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(pem)
        yield path
    finally:
        os.unlink(path)


class PeerClient:
    """Calls peers' gateways.

    :param timeout: seconds for one answer, from connecting to its last byte.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def send(self, url: str, tls_ca_pem: str, document: bytes) -> Answer:
        """Post one document.

        :param url: the peer's gateway, ``https://host:port``.
        :param tls_ca_pem: the CA that its TLS certificate must come from.
        :raises PeerUnreachable: no TLS connection, no answer in time, or the peer's gateway is out of order, or busy.
        :raises RefusedByPeer: the gateway refused the message; its code and words are in the error.
        :raises MalformedMessage: the answer is not one.
        """
        if not url.startswith("https://"):
            raise errors.ConfigurationError(f"the peer's url {url} is not https")
        try:
            with _file_of(tls_ca_pem) as ca_file:
                reply = exchange.ask(
                    "POST",
                    url.rstrip("/") + PATH,
                    within=self._timeout,
                    limit=protocol.MAX_DOCUMENT,
                    context=tls.context(ca_file),
                    verify=ca_file,
                    data=document,
                    headers={"Content-Type": CONTENT_TYPE},
                )
        except requests.exceptions.SSLError as error:
            raise errors.PeerUnreachable(
                f"TLS with {url} failed: {tls.explain(error)}",
                code="peer-tls",
                remedy="Check the TLS CA in the agreement with this peer, and the peer's certificate.",
            ) from error
        except requests.RequestException as error:
            raise errors.PeerUnreachable(f"{url} does not answer: {error}") from error
        if len(reply.body) > protocol.MAX_DOCUMENT:
            raise errors.MalformedMessage("the peer's answer is larger than any document of the protocol")
        return _interpret(url, reply.status, reply.body)


def _interpret(url: str, status: int, body: bytes) -> Answer:
    if status == HTTPStatus.OK:
        return Answer(True, body)
    if status == HTTPStatus.ACCEPTED:
        return Answer(False, None)
    if status == HTTPStatus.NO_CONTENT:
        return Answer(True, None)
    try:
        error = json.loads(body)["error"]
        code, message = str(error["code"]), str(error["message"])[:1000]
    except (ValueError, KeyError, TypeError):
        code, message = "", "no explanation"
    try:
        fields.code("code", code)
    except errors.LocalError:
        # It is shown in lists and logs: only what can be a code is one.
        code = f"http-{status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise errors.PeerUnreachable(
            f"{url} takes nothing more at the moment: {message} ({code})",
            code="peer-busy",
            remedy="Start fewer migrations to this peer at the same time, or ask its operators to let more wait.",
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise errors.PeerUnreachable(f"{url} is out of order: {message} ({code})")
    raise errors.RefusedByPeer(f"the peer refused: {message} ({code})", code=code)
