# SPDX-License-Identifier: Apache-2.0
"""Barbican, with its software back end (simple_crypto) and a key-encryption key of each cloud's own."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

from lab.cloud import PORTS, VENV, Cloud
from lab.ini import write_ini
from lab.services.base import Component, Daemon, answers_http, authtoken, sample, uwsgi


def configure(cloud: Cloud) -> None:
    sample("barbican", "barbican-api-paste.ini", cloud)
    write_ini(
        cloud.etc / "barbican" / "barbican.conf",
        {
            "DEFAULT": {
                "log_file": cloud.log / "barbican.log",
                "host_href": cloud.url("barbican"),
                "db_auto_create": False,
            },
            "database": {"connection": cloud.database_url("barbican", "barbican")},
            "secretstore": {
                "namespace": "barbican.secretstore.plugin",
                "enabled_secretstore_plugins": "store_crypto",
            },
            "crypto": {"namespace": "barbican.crypto.plugin", "enabled_crypto_plugins": "simple_crypto"},
            "simple_crypto_plugin": {"kek": base64.b64encode(os.urandom(32)).decode()},
            "queue": {"enable": False},
            "keystone_authtoken": authtoken(cloud, "barbican"),
        },
    )


def environment(cloud: Cloud) -> Mapping[str, str]:
    """Barbican looks for its configuration in its home directory and cannot be told another place."""
    return {"HOME": str(cloud.etc / "barbican")}


DAEMON = Daemon(
    "barbican",
    lambda cloud: uwsgi("barbican.wsgi.api", "barbican"),
    answers_http("barbican"),
    environment=environment,
    port=PORTS["barbican"],
    needs=("mariadb",),
)
COMPONENT = Component(
    "barbican",
    configure,
    (DAEMON,),
    ("barbican",),
    lambda cloud: [[str(VENV / "bin" / "barbican-manage"), "db", "upgrade"]],
    environment,
)
