# SPDX-License-Identifier: Apache-2.0
"""Glance, with images in files, and able to delete the key of an encrypted image."""

from __future__ import annotations

from collections.abc import Mapping

from lab.cloud import PORTS, Cloud
from lab.ini import write_ini
from lab.services.base import (
    Component,
    Daemon,
    answers_http,
    authtoken,
    barbican_sections,
    program,
    sample,
    uwsgi,
)


def configure(cloud: Cloud) -> None:
    paste = sample("glance", "glance-api-paste.ini", cloud)
    own = cloud.directory / "glance"
    for name in ("images", "staging", "tasks"):
        (own / name).mkdir(parents=True, exist_ok=True)
    write_ini(
        cloud.etc / "glance" / "glance-api.conf",
        {
            "DEFAULT": {"log_file": cloud.log / "glance.log", "enabled_backends": "files:file"},
            "glance_store": {"default_backend": "files"},
            "files": {"filesystem_store_datadir": own / "images"},
            "os_glance_staging_store": {"filesystem_store_datadir": own / "staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": own / "tasks"},
            "database": {"connection": cloud.database_url("glance", "glance")},
            "paste_deploy": {"flavor": "keystone", "config_file": paste},
            "keystone_authtoken": authtoken(cloud, "glance"),
            # Without these, deleting an image that has cinder_encryption_key_id would leave its key behind.
            **barbican_sections(cloud),
        },
    )


def environment(cloud: Cloud) -> Mapping[str, str]:
    return {"OS_GLANCE_CONFIG_DIR": str(cloud.etc / "glance")}


DAEMON = Daemon(
    "glance",
    lambda cloud: uwsgi("glance.wsgi.api", "glance", "--http-chunked-input", "--http-raw-body"),
    answers_http("glance"),
    environment=environment,
    port=PORTS["glance"],
    needs=("mariadb",),
)
COMPONENT = Component(
    "glance",
    configure,
    (DAEMON,),
    ("glance",),
    lambda cloud: [[*program("glance-manage", cloud.etc / "glance" / "glance-api.conf"), "db_sync"]],
    environment,
)
