# SPDX-License-Identifier: Apache-2.0
"""ML2 mechanism driver of the lab: every port binds to a plain tap device, joined to nothing.

So a server has a real NIC with the port's MAC address, without Open vSwitch and its agents.
"""

from __future__ import annotations

from neutron_lib import constants  # type: ignore[import-untyped]
from neutron_lib.api.definitions import portbindings  # type: ignore[import-untyped]
from neutron_lib.plugins.ml2 import api  # type: ignore[import-untyped]


class TapMechanismDriver(api.MechanismDriver):  # type: ignore[misc]  # neutron-lib has no type hints
    """Binds any port of any network, at once and without an agent."""

    def initialize(self) -> None:
        """Nothing to set up: ML2 asks for this method."""

    def bind_port(self, context: api.PortContext) -> None:
        """Take the first segment offered. The port is ACTIVE at once, nothing else has to be wired."""
        for segment in context.segments_to_bind:
            details = {portbindings.CAP_PORT_FILTER: False}
            context.set_binding(
                segment[api.ID], portbindings.VIF_TYPE_TAP, details, status=constants.PORT_STATUS_ACTIVE
            )
            return
