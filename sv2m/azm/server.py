# SPDX-License-Identifier: Apache-2.0
"""AZM's RPC endpoint: the rules of oslo.policy, and the agreement with the peer. Both must say yes."""

from __future__ import annotations

from typing import Any

import oslo_messaging

from sv2m import errors
from sv2m.azm import ports
from sv2m.azm.agreement import Agreement
from sv2m.policies import federation, migrations


class Endpoint:
    """Topic ``sv2m-azm``.

    :param cloud_name: this cloud's own name, which is nobody's peer.
    """

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, rules: ports.Rules, agreements: ports.Agreements, cloud_name: str) -> None:
        self._rules = rules
        self._agreements = agreements
        self._cloud_name = cloud_name

    @oslo_messaging.expose
    def may_start(
        self, context: dict[str, Any], credentials: dict[str, Any], server: dict[str, Any], peer: str
    ) -> dict[str, Any]:
        """``{"agreement": id}`` when this caller may move this server to this peer.

        :param credentials: of the caller, as oslo.policy wants them.
        :param server: ``{"id", "project_id"}``.
        :raises sv2m.errors.PolicyError: naming the rule that says no.
        :raises sv2m.errors.AgreementError: naming what in the agreement says no.
        """
        target = {"project_id": server["project_id"], "server_id": server["id"], "peer": peer}
        if not self._rules.allows(migrations.CREATE, credentials, target):
            raise errors.PolicyError(f"{self._rules.needed(migrations.CREATE)} is needed (rule {migrations.CREATE})")
        agreement = self._agreement(peer)
        agreement.check_outgoing()
        return {"agreement": agreement.id}

    @oslo_messaging.expose
    def may_accept(self, context: dict[str, Any], peer: str, needs: dict[str, Any]) -> dict[str, Any]:
        """``{"agreement": id, "project_id", "migrations"}`` when this server may come from this peer.

        ``migrations`` is how many may be arriving from it at once, this one included; None: any number.

        :param peer: the name that the peer's certificate proved.
        :param needs: the descriptor of its offer.
        :raises sv2m.errors.AgreementError: naming what in the agreement says no.
        :raises sv2m.errors.PolicyError: naming the rule that says no.
        """
        agreement = self._agreement(peer)
        project_id = agreement.check_incoming(needs)
        credentials = {"peer": peer, "project_id": project_id}
        target = {
            "name": needs["name"],
            "vcpus": needs["vcpus"],
            "memory_mb": needs["memory_mb"],
            "project_id": project_id,
        }
        if not self._rules.allows(federation.ACCEPT, credentials, target):
            raise errors.PolicyError(f"rule {federation.ACCEPT} does not allow it")
        return {"agreement": agreement.id, "project_id": project_id, "migrations": agreement.migrations}

    def _agreement(self, peer: str) -> Agreement:
        if peer == self._cloud_name:
            raise errors.AgreementError(f"{peer} is this cloud itself")
        agreement = self._agreements.find(peer)
        if agreement is None:
            raise errors.AgreementError(f"there is no agreement with {peer}")
        return agreement
