# SPDX-License-Identifier: Apache-2.0
"""Run by test_rules.py in a process of its own: Nova's options and SV2M's do not fit into one.

Prints, as JSON, how Nova answers each persona.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import nova.compute.api
import nova.conf
from nova import context, exception

from sv2m.nova.rules import NovaRules

RULE = "os_compute_api:os-migrate-server:migrate_live"


class API:
    """Nova's compute API, with one server."""

    def get(self, asking: Any, server_id: str) -> Any:
        if server_id != "known":
            raise exception.InstanceNotFound(instance_id=server_id)
        return SimpleNamespace(project_id="p1")


def main() -> None:
    nova.conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    nova.compute.api.API = API
    answers = []
    for server, project, roles in json.load(sys.stdin):
        asking = context.RequestContext(user_id="u", project_id=project, roles=roles, is_admin=False)
        refused = NovaRules().refusal(asking, server, RULE)
        answers.append(refused.status if refused else None)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
