# SPDX-License-Identifier: Apache-2.0
"""Options of [service_credentials]: as whom SV2M acts in this cloud.

keystoneauth adds its own options to this group when the first client is made (auth_type, auth_url, username,
password, user_domain_name, project_name, project_domain_name, cafile, timeout …), as in every OpenStack
service. The user needs the admin role on its own project, the service project.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "service_credentials"

OPTS = [
    cfg.StrOpt("region_name", help="Region whose endpoints are used; unset takes the catalog's only one."),
    cfg.StrOpt(
        "interface",
        default="internal",
        choices=["public", "internal", "admin"],
        help="Interface of the catalog's endpoints.",
    ),
    cfg.ListOpt(
        "project_roles",
        default=["member", "admin"],
        help="Roles that SV2M's user is given on the project into which an agreement lets servers come. "
        "Nova's own rules want admin of whoever names the compute host of a new server, and SV2M names the one on "
        "which room is held: leave admin out only where Nova's rules were changed.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group that are SV2M's own."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [(GROUP, OPTS)]
