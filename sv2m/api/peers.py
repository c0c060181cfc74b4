# SPDX-License-Identifier: Apache-2.0
"""Peers: the agreements with other clouds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import webob

from sv2m import errors
from sv2m.api import pages
from sv2m.api.call import Call, answer
from sv2m.azm import limits
from sv2m.db import engine
from sv2m.db import peers as rows
from sv2m.db.models import Peer
from sv2m.evidence import path, pem
from sv2m.policies import peers as rules
from sv2m.protocol.reach import Reach

_FIELDS = (
    "id",
    "name",
    "url",
    "ca_pem",
    "tls_ca_pem",
    "direction",
    "project_id",
    "limits",
    "volume_type_map",
    "data_networks",
    "enabled",
)


_PEMS = ("ca_pem", "tls_ca_pem")


def view(row: Peer, own_limits: Mapping[str, int]) -> dict[str, Any]:
    """An agreement as the API shows it.

    :param own_limits: this cloud's, which hold where the agreement has none.
    """
    return {
        **{name: getattr(row, name) for name in _FIELDS},
        "effective_limits": limits.effective(row.limits, own_limits),
        "data_networks": row.data_networks or [],
        **{name: pem.kept(getattr(row, name) or "") for name in _PEMS},
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


def list_page(call: Call) -> webob.Response:
    """``GET /v1/peers``."""
    call.authorize(rules.LIST)
    with engine.session() as session:
        found = rows.list_page(session, limit=pages.limit_of(call) + 1, marker=call.query.get("marker"))
    return pages.page(call, "peers", [view(row, call.services.own_limits) for row in found])


def create(call: Call) -> webob.Response:
    """``POST /v1/peers``."""
    call.authorize(rules.CREATE)
    wanted = _wanted(call)
    if wanted["name"] == call.services.cloud_name:
        raise errors.LocalError(f"{wanted['name']} is this cloud itself", code="peer-is-self")
    _check(wanted)
    _prepare_project(call, wanted)
    row = engine.transaction(lambda session: rows.create(session, by=call.caller.who, **wanted))
    return answer(201, {"peer": view(row, call.services.own_limits)}, Location=f"{call.request.path_url}/{row.id}")


def show(call: Call) -> webob.Response:
    """``GET /v1/peers/{peer}``."""
    call.authorize(rules.SHOW)
    with engine.session() as session:
        return answer(200, {"peer": view(rows.get(session, call.path["peer"]), call.services.own_limits)})


def update(call: Call) -> webob.Response:
    """``PATCH /v1/peers/{peer}``."""
    call.authorize(rules.UPDATE)
    wanted = _wanted(call)
    with engine.session() as session:
        before = rows.get(session, call.path["peer"])
    after = {**view(before, call.services.own_limits), **wanted}
    _check(after)
    if wanted.keys() & {"project_id", "direction"}:
        _prepare_project(call, after)
    row = engine.transaction(lambda session: rows.update(session, before.id, by=call.caller.who, **wanted))
    return answer(200, {"peer": view(row, call.services.own_limits)})


def delete(call: Call) -> webob.Response:
    """``DELETE /v1/peers/{peer}``."""
    call.authorize(rules.DELETE)
    engine.transaction(lambda session: rows.delete(session, call.path["peer"], by=call.caller.who))
    return answer(204)


def _wanted(call: Call) -> dict[str, Any]:
    """What the caller wants, with certificates in the one form in which they are kept, and nothing beside them."""
    wanted = dict(call.body["peer"])
    for name in _PEMS:
        if wanted.get(name):
            given = pem.certificates(wanted[name], name)
            if name == "ca_pem":
                path.check_anchors(given, name)
            wanted[name] = pem.encode(given)
    return wanted


def _check(peer: Mapping[str, Any]) -> None:
    try:
        Reach.of(peer.get("data_networks", ()))
    except ValueError as error:
        raise errors.LocalError(
            f"data_networks: {error}",
            code="invalid-request",
            remedy="Give networks as ADDRESS/BITS, such as 192.0.2.0/24.",
        ) from error
    if peer["direction"] != "outgoing" and not peer.get("project_id"):
        raise errors.LocalError(
            "servers that come in need a project",
            code="invalid-request",
            remedy="Name the project of this cloud that receives them (--project).",
        )


def _prepare_project(call: Call, peer: Mapping[str, Any]) -> None:
    if peer["direction"] != "outgoing":
        call.services.projects.ensure_member(peer["project_id"])
