# SPDX-License-Identifier: Apache-2.0
"""Neutron's API server with ML2 and the lab's tap driver; no agents, so networks lead nowhere."""

from __future__ import annotations

from collections.abc import Mapping

from lab.cloud import PORTS, Cloud
from lab.ini import write_ini, write_private
from lab.services.base import Component, Daemon, answers_http, authtoken, credentials, program, sample, uwsgi


def configure(cloud: Cloud) -> None:
    paste = sample("neutron", "api-paste.ini", cloud)
    _register_driver(cloud)
    state = cloud.directory / "neutron"
    state.mkdir(parents=True, exist_ok=True)
    write_ini(
        cloud.etc / "neutron" / "neutron.conf",
        {
            "DEFAULT": {
                "log_file": cloud.log / "neutron.log",
                "state_path": state,
                "core_plugin": "ml2",
                "service_plugins": "",
                "auth_strategy": "keystone",
                "transport_url": cloud.transport_url(),
                "api_paste_config": paste,
                "notify_nova_on_port_status_changes": True,
                "notify_nova_on_port_data_changes": True,
            },
            "database": {"connection": cloud.database_url("neutron", "neutron")},
            "keystone_authtoken": authtoken(cloud, "neutron"),
            "nova": credentials(cloud, "nova"),
            "oslo_concurrency": {"lock_path": cloud.run / "lock"},
            "ml2": {
                "type_drivers": "local",
                "tenant_network_types": "local",
                "mechanism_drivers": "sv2m_lab_tap",
                "extension_drivers": "port_security",
            },
            "securitygroup": {"enable_security_group": True},
        },
    )


def _register_driver(cloud: Cloud) -> None:
    """ML2 finds drivers by entry point, which takes a distribution: here one of two files."""
    own = cloud.directory / "plugins" / "sv2m_lab-1.0.dist-info"
    write_private(own / "METADATA", "Metadata-Version: 2.1\nName: sv2m-lab\nVersion: 1.0\n")
    drivers = "[neutron.ml2.mechanism_drivers]\nsv2m_lab_tap = lab.neutron_driver:TapMechanismDriver\n"
    write_private(own / "entry_points.txt", drivers)


def environment(cloud: Cloud) -> Mapping[str, str]:
    return {"OS_NEUTRON_CONFIG_DIR": str(cloud.etc / "neutron"), "OS_NEUTRON_CONFIG_FILES": "neutron.conf"}


DAEMON = Daemon(
    "neutron",
    lambda cloud: uwsgi("neutron.wsgi.api", "neutron"),
    answers_http("neutron"),
    environment=environment,
    port=PORTS["neutron"],
    needs=("mariadb", "rabbitmq"),
)
COMPONENT = Component(
    "neutron",
    configure,
    (DAEMON,),
    ("neutron",),
    lambda cloud: [
        [*program("neutron-db-manage", cloud.etc / "neutron" / "neutron.conf"), "upgrade", "heads"]
    ],
    environment,
)
