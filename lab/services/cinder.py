# SPDX-License-Identifier: Apache-2.0
"""Cinder with the lab's NFS driver; the share is a directory of the same machine (see lab/mount.nfs)."""

from __future__ import annotations

from pathlib import Path

from lab.cloud import PORTS, VENV, Cloud
from lab.ini import write_ini
from lab.services.base import (
    Component,
    Daemon,
    answers_http,
    authtoken,
    barbican_sections,
    credentials,
    logged,
    program,
    sample,
    uwsgi,
)

BACKEND = "nfs"


def _config(cloud: Cloud) -> Path:
    return cloud.etc / "cinder" / "cinder.conf"


def configure(cloud: Cloud) -> None:
    paste = sample("cinder", "api-paste.ini", cloud)
    filters = sample("cinder", "resource_filters.json", cloud)
    rootwrap = sample("cinder", "rootwrap.conf", cloud)
    own = cloud.directory / "cinder"
    for name in ("conversion", "mnt", "share"):
        # As an operator should have them: its volumes are files that everybody may write.
        (own / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    helper = {"helper_command": f"{VENV}/bin/privsep-helper --config-file {_config(cloud)}"}
    write_ini(
        _config(cloud),
        {
            "DEFAULT": {
                "log_dir": cloud.log,
                "state_path": own,
                "my_ip": "127.0.0.1",
                "host": f"storage-{cloud.name}",
                "transport_url": cloud.transport_url(),
                "auth_strategy": "keystone",
                "api_paste_config": paste,
                "rootwrap_config": rootwrap,
                "resource_query_filters_file": filters,
                "enabled_backends": BACKEND,
                "default_volume_type": "plain",
                "glance_api_servers": cloud.url("glance"),
                "image_conversion_dir": own / "conversion",
                "graceful_shutdown_timeout": 5,
                "periodic_fuzzy_delay": 0,
            },
            BACKEND: {
                "volume_driver": "lab.cinder_driver.LuksRawNfsDriver",
                "volume_backend_name": BACKEND,
                "nas_host": "127.0.0.1",
                "nas_share_path": own / "share",
                "nfs_mount_point_base": own / "mnt",
                "nfs_sparsed_volumes": True,
                "nfs_qcow2_volumes": False,
                "nfs_snapshot_support": True,
                "nas_secure_file_operations": False,
                "nas_secure_file_permissions": False,
            },
            "database": {"connection": cloud.database_url("cinder", "cinder")},
            "keystone_authtoken": authtoken(cloud, "cinder"),
            "service_user": {"send_service_user_token": True, **credentials(cloud, "cinder")},
            "nova": {"interface": "public", **credentials(cloud, "nova")},
            "oslo_concurrency": {"lock_path": cloud.run / "lock"},
            "cinder_sys_admin": helper,
            "privsep_osbrick": helper,
            "privsep": helper,
            **barbican_sections(cloud),
        },
    )


API = Daemon(
    "cinder-api",
    lambda cloud: uwsgi("cinder.wsgi.api", "cinder-api", "--pyargv", f"--config-file {_config(cloud)}"),
    answers_http("cinder-api"),
    port=PORTS["cinder-api"],
    needs=("mariadb", "rabbitmq"),
)
SCHEDULER = Daemon(
    "cinder-scheduler",
    lambda cloud: program("cinder-scheduler", _config(cloud)),
    logged("cinder-scheduler.log", "Starting cinder-scheduler node"),
    needs=("mariadb", "rabbitmq"),
)
VOLUME = Daemon(
    "cinder-volume",
    lambda cloud: program("cinder-volume", _config(cloud)),
    logged("cinder-volume.log", "Driver initialization completed successfully"),
    needs=("mariadb", "rabbitmq"),
)
COMPONENT = Component(
    "cinder",
    configure,
    (API, SCHEDULER, VOLUME),
    ("cinder",),
    lambda cloud: [[*program("cinder-manage", _config(cloud)), "db", "sync"]],
)
