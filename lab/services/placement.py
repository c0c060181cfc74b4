# SPDX-License-Identifier: Apache-2.0
"""Placement."""

from __future__ import annotations

from collections.abc import Mapping

from lab.cloud import PORTS, Cloud
from lab.ini import write_ini
from lab.services.base import Component, Daemon, answers_http, authtoken, program, uwsgi


def configure(cloud: Cloud) -> None:
    write_ini(
        cloud.etc / "placement" / "placement.conf",
        {
            "DEFAULT": {"log_file": cloud.log / "placement.log"},
            "placement_database": {"connection": cloud.database_url("placement", "placement")},
            "api": {"auth_strategy": "keystone"},
            "keystone_authtoken": authtoken(cloud, "placement"),
        },
    )


def environment(cloud: Cloud) -> Mapping[str, str]:
    return {"OS_PLACEMENT_CONFIG_DIR": str(cloud.etc / "placement")}


DAEMON = Daemon(
    "placement",
    lambda cloud: uwsgi("placement.wsgi.api", "placement"),
    answers_http("placement"),
    environment=environment,
    port=PORTS["placement"],
    needs=("mariadb",),
)
COMPONENT = Component(
    "placement",
    configure,
    (DAEMON,),
    ("placement",),
    lambda cloud: [[*program("placement-manage", cloud.etc / "placement" / "placement.conf"), "db", "sync"]],
    environment,
)
