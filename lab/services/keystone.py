# SPDX-License-Identifier: Apache-2.0
"""Keystone."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

from lab.cloud import PORTS, REGION, VENV, Cloud
from lab.ini import write_ini, write_private
from lab.namespace import run
from lab.services.base import Component, Daemon, answers_http, service_environment, uwsgi


def configure(cloud: Cloud) -> None:
    sections = ("fernet_tokens", "fernet_receipts", "credential")
    repositories = {section: cloud.directory / "keystone" / section for section in sections}
    for repository in repositories.values():
        # What `keystone-manage fernet_setup` does: a staged key 0 and a primary key 1.
        repository.mkdir(parents=True, exist_ok=True, mode=0o700)
        for index in ("0", "1"):
            write_private(repository / index, base64.urlsafe_b64encode(os.urandom(32)).decode())
    write_ini(
        cloud.etc / "keystone" / "keystone.conf",
        {
            "DEFAULT": {"log_file": cloud.log / "keystone.log"},
            "database": {"connection": cloud.database_url("keystone", "keystone")},
            "token": {"provider": "fernet"},
            **{section: {"key_repository": repository} for section, repository in repositories.items()},
            # Without it a request takes two hundred queries. In memory it is right for one process.
            "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
            # The least bcrypt allows; it saves many seconds here and would be wrong anywhere else.
            "identity": {"password_hash_algorithm": "bcrypt", "password_hash_rounds": 4},
        },
    )


def environment(cloud: Cloud) -> Mapping[str, str]:
    return {"OS_KEYSTONE_CONFIG_DIR": str(cloud.etc / "keystone")}


def _manage(cloud: Cloud, *arguments: str) -> list[str]:
    return [str(VENV / "bin" / "keystone-manage"), "--config-dir", str(cloud.etc / "keystone"), *arguments]


def bootstrap(cloud: Cloud) -> None:
    """The first user, project, role and endpoint. The password is in no argument."""
    url = cloud.auth_url
    names = (
        "--bootstrap-username",
        "admin",
        "--bootstrap-project-name",
        "admin",
        "--bootstrap-role-name",
        "admin",
    )
    urls = ("--bootstrap-admin-url", url, "--bootstrap-public-url", url, "--bootstrap-internal-url", url)
    place = ("--bootstrap-service-name", "keystone", "--bootstrap-region-id", REGION)
    password = {"OS_BOOTSTRAP_PASSWORD": cloud.credentials.password("admin")}
    command = _manage(cloud, "bootstrap", *names, *place, *urls)
    run(cloud, command, environment={**service_environment(cloud), **password})


DAEMON = Daemon(
    "keystone",
    lambda cloud: uwsgi("keystone.wsgi.api", "keystone"),
    answers_http("keystone"),
    environment=environment,
    port=PORTS["keystone"],
    needs=("mariadb",),
)
COMPONENT = Component(
    "keystone", configure, (DAEMON,), ("keystone",), lambda cloud: [_manage(cloud, "db_sync")], environment
)
