# SPDX-License-Identifier: Apache-2.0
"""Calling SV2M's API, as the caller of Nova's."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from typing import Any

import requests

from sv2m import exchange
from sv2m.nova import answers

LOG = logging.getLogger(__name__)

#: Bytes of the largest answer that is read. One that says no has some hundreds.
_LARGEST = 64 << 10


class Caller:
    """Calls one SV2M API.

    Each call holds a thread of nova-api, whose threads are everybody's: so it is short, and only so many run at a time.

    :param url: its root.
    :param ca_file: PEM file of the CA of its TLS; None takes the system's.
    :param timeout: seconds for all of a call, a second attempt included.
    :param at_once: calls at a time in this process.
    """

    def __init__(self, url: str, ca_file: str | None, timeout: float = 2.0, at_once: int = 2) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._verify: str | bool = ca_file or True
        self._timeout = timeout
        self._turns = threading.BoundedSemaphore(at_once)

    def migrate(self, token: str, server_id: str, peer: str, request_id: str | None) -> answers.Answer:
        """Ask that a server be moved to a peer.

        :param token: the caller's own; SV2M lets it do what its own rules let it do.
        :param request_id: of Nova's request, so that both logs can be read together.
        """
        if not self._turns.acquire(blocking=False):
            return answers.busy("too many migrations to other clouds are asked for at once; nothing was begun")
        try:
            return self._ask(token, server_id, peer, request_id)
        finally:
            self._turns.release()

    def _ask(self, token: str, server_id: str, peer: str, request_id: str | None) -> answers.Answer:
        # The id is chosen here: when an answer is lost, the same request may be sent again and is still one.
        wanted = {"id": str(uuid.uuid4()), "server_id": server_id, "destination": peer}
        headers = {
            "X-Auth-Token": token,
            "OpenStack-API-Version": "secure-migration 1.0",
            # RFC 7240, 4.1. What SV2M has to ask nova-api it then asks when nova-api does not wait for it.
            "Prefer": "respond-async",
        }
        if request_id is not None:
            headers["X-OpenStack-Request-Id"] = request_id
        end = time.monotonic() + self._timeout
        for attempt in (1, 2):
            try:
                # A token goes to the address that the operator has configured and nowhere else: not to a proxy that
                # nova-api's environment names for its way to the world, and not to where an answer points.
                reply = exchange.ask(
                    "POST",
                    f"{self._url}/v1/migrations",
                    within=max(0.001, end - time.monotonic()),
                    limit=_LARGEST,
                    verify=self._verify,
                    json={"migration": wanted},
                    headers=headers,
                )
            except requests.Timeout as failure:
                LOG.warning("SV2M's API did not answer: %s", failure)
                # Not once more: it has the request, and is slow.
                return answers.busy(
                    "SV2M's API does not answer in time; what it may have begun, "
                    f"openstack secure migration show {wanted['id']} shows"
                )
            except requests.RequestException as failure:
                LOG.warning("SV2M's API did not answer (attempt %s): %s", attempt, failure)
            else:
                return _answer(reply)
        return answers.busy("SV2M's API does not answer; no migration was begun that it would not show")


def _answer(response: exchange.Reply) -> answers.Answer:
    try:
        document: Any = json.loads(response.body)
    except ValueError:
        document = None
    if response.status == 202 and isinstance(document, dict):
        migration = document.get("migration") or {}
        location = response.headers.get("Location", "")
        if re.fullmatch(r"[0-9a-f-]{36}", str(migration.get("id"))) and location.isprintable():
            return answers.accepted(migration["id"], location)
    if response.status < 400:
        return answers.error(502, f"SV2M's API answered {response.status}, which was not expected")
    said = document.get("error") if isinstance(document, dict) else None
    if isinstance(said, dict) and "code" in said:
        message = f"{said.get('message')} ({said['code']}). {said.get('remedy')}"
    else:
        message = f"SV2M's API answered {response.status}"
    return answers.error(response.status, message)
