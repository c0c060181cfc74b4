# SPDX-License-Identifier: Apache-2.0
"""Calling SV2M's API, as the caller of Nova's."""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any

import requests

from sv2m.nova import answers

LOG = logging.getLogger(__name__)


class Caller:
    """Calls one SV2M API.

    :param url: its root.
    :param ca_file: PEM file of the CA of its TLS; None takes the system's.
    :param timeout: seconds for each attempt.
    """

    def __init__(self, url: str, ca_file: str | None, timeout: float) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._verify: str | bool = ca_file or True
        self._timeout = timeout

    def migrate(self, token: str, server_id: str, peer: str, request_id: str | None) -> answers.Answer:
        """Ask that a server be moved to a peer.

        :param token: the caller's own; SV2M lets it do what its own rules let it do.
        :param request_id: of Nova's request, so that both logs can be read together.
        """
        # The id is chosen here: when an answer is lost, the same request may be sent again and is still one.
        wanted = {"id": str(uuid.uuid4()), "server_id": server_id, "destination": peer}
        headers = {"X-Auth-Token": token, "OpenStack-API-Version": "secure-migration 1.0"}
        if request_id is not None:
            headers["X-OpenStack-Request-Id"] = request_id
        for attempt in (1, 2):
            try:
                with requests.Session() as session:
                    # A token goes to the address that the operator has configured and nowhere else: not to a proxy
                    # that nova-api's environment names for its way to the world, and not to where an answer points.
                    session.trust_env = False
                    response = session.post(
                        f"{self._url}/v1/migrations",
                        json={"migration": wanted},
                        headers=headers,
                        timeout=self._timeout,
                        verify=self._verify,
                        allow_redirects=False,
                    )
            except requests.RequestException as failure:
                LOG.warning("SV2M's API did not answer (attempt %s): %s", attempt, failure)
            else:
                return _answer(response)
        return answers.error(503, "SV2M's API does not answer; no migration was begun that it would not show")


def _answer(response: requests.Response) -> answers.Answer:
    try:
        document: Any = response.json()
    except ValueError:
        document = None
    if response.status_code == 202 and isinstance(document, dict):
        migration = document.get("migration") or {}
        location = response.headers.get("Location", "")
        if re.fullmatch(r"[0-9a-f-]{36}", str(migration.get("id"))) and location.isprintable():
            return answers.accepted(migration["id"], location)
    if response.status_code < 400:
        return answers.error(502, f"SV2M's API answered {response.status_code}, which was not expected")
    said = document.get("error") if isinstance(document, dict) else None
    if isinstance(said, dict) and "code" in said:
        message = f"{said.get('message')} ({said['code']}). {said.get('remedy')}"
    else:
        message = f"SV2M's API answered {response.status_code}"
    return answers.error(response.status_code, message)
