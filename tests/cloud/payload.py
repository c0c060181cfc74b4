# SPDX-License-Identifier: Apache-2.0
"""A secret's bytes in a cloud's Barbican, for whoever may read them."""

from __future__ import annotations

import urllib.error
import urllib.request

from lab.guests import Guests
from lab.rest import ApiError, Client
from tests.cloud.world import Side


def payload(side: Side, client: Client, ref: str) -> bytes:
    """The bytes; the calling thread is in the cloud's network.

    Raises:
        ApiError: Barbican's refusal
    """
    url = side.session.cloud.url("barbican", "/v1/secrets/" + ref.rpartition("/")[2] + "/payload")
    for accepted in ("application/octet-stream", "text/plain"):
        request = urllib.request.Request(url, headers={"X-Auth-Token": client._token, "Accept": accepted})
        try:
            with client._opener.open(request, timeout=60) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code != 406:
                raise ApiError("GET", url, error.code, error.read().decode(errors="replace")) from error
    raise ApiError("GET", url, 406, "it is neither bytes nor text")


def key_of_volume(side: Side, server: str) -> str:
    """Which secret opens the one volume of a server."""
    (attached,) = side.admin.call("GET", "nova-api", f"/servers/{server}")["server"][
        "os-extended-volumes:volumes_attached"
    ]
    how = side.admin.call("GET", "cinder-api", f"/volumes/{attached['id']}/encryption")
    return str(how["encryption_key_id"])


def readers_of_key(side: Side, server: str) -> list[str]:
    """Who is on the access list of the key of a server's one volume, beside the project that owns it."""
    identifier = key_of_volume(side, server).rstrip("/").rpartition("/")[2]
    listed = side.manager.call("GET", "barbican", f"/secrets/{identifier}/acl")
    return list(listed.get("read", {}).get("users") or [])


def read_as(side: Side, who: Guests, ref: str) -> bytes:
    """What a user reads there. Raises: as :func:`payload`."""
    with side.session.in_network():
        return payload(side, who.client, ref)
