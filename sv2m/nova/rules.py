# SPDX-License-Identifier: Apache-2.0
"""Nova's own rules for a migration, asked by Nova's own code.

Nova applies them behind the filter, where a request that the filter answers never comes; so the filter
applies them. SV2M's rules come on top: both must say yes.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from sv2m.nova import answers


class Rules(Protocol):
    """Who may migrate a server."""

    def refusal(self, context: Any, server_id: str, rule: str) -> answers.Answer | None:
        """Why the caller may not; None when he may.

        :param context: Nova's request context.
        :param rule: name of Nova's rule.
        """
        ...


class NovaRules:
    """Nova's rules, on the server as Nova's database has it."""

    def refusal(self, context: Any, server_id: str, rule: str) -> answers.Answer | None:
        """Why the caller may not; None when he may."""
        # Imported when it is needed: outside of nova-api there is no Nova.
        compute = importlib.import_module("nova.compute.api")
        exception = importlib.import_module("nova.exception")
        try:
            instance = compute.API().get(context, server_id)
        except (exception.InstanceNotFound, exception.CellMappingNotFound):
            return answers.error(404, f"Instance {server_id} could not be found.")
        if context.can(rule, target={"project_id": instance.project_id}, fatal=False):
            return None
        return answers.error(403, f"Policy doesn't allow {rule} to be performed.")
