# SPDX-License-Identifier: Apache-2.0
"""Nova: API, conductor, scheduler, and one compute host on libvirt and QEMU without KVM."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from lab.cloud import PORTS, VENV, Cloud
from lab.ini import Sections, Value, write_ini
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
    service_environment,
    uwsgi,
)

#: The most memory that cloud B offers to servers, in MiB; the flavor m1.medium wants more.
ROOM_AT_B = 2048
_URL = "{scheme}://{username}:{password}@{hostname}:{port}/"


def _config(cloud: Cloud) -> Path:
    return cloud.etc / "nova" / "nova.conf"


def _compute_config(cloud: Cloud) -> Path:
    """What the compute host has: the same without any way into a database."""
    return cloud.etc / "nova" / "nova-compute.conf"


def _memory(cloud: Cloud) -> dict[str, Value]:
    """A guest only takes what it touches, so A promises more than there is; B promises little.

    B's part is a ratio, because the memory that libvirt counts may grow while a virtual machine with memory
    ballooning runs; it never exceeds the system's own total, so B never offers more than ROOM_AT_B.
    """
    if cloud.name == "a":
        return {"reserved_host_memory_mb": 256, "ram_allocation_ratio": 4.0}
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {"reserved_host_memory_mb": 0, "ram_allocation_ratio": min(round(ROOM_AT_B / total, 4), 1.0)}


def hook_installed() -> bool:
    """Whether SV2M's filter can be imported; without it Nova runs as it comes."""
    try:
        return importlib.util.find_spec("sv2m.nova.filter") is not None
    except ModuleNotFoundError:
        return False


def _add_hook(paste: Path, cloud: Cloud) -> None:
    """Put SV2M's filter behind `keystonecontext` in every pipeline, as an operator does."""
    if not hook_installed():
        return
    text = paste.read_text().replace("authtoken keystonecontext ", "authtoken keystonecontext sv2m ")
    text += (
        "\n[filter:sv2m]\npaste.filter_factory = sv2m.nova.filter:filter_factory\n"
        # Two clouds share one machine here: what takes a moment elsewhere may take some.
        f"secure_migration_url = {cloud.url('sv2m-api')}\ntimeout = 10\n"
    )
    paste.write_text(text)


def configure(cloud: Cloud) -> None:
    paste = sample("nova", "api-paste.ini", cloud)
    _add_hook(paste, cloud)
    for name in ("instances", "mnt"):
        # As an operator should have them: Nova makes disks that everybody may read.
        (cloud.directory / "nova" / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    sections = {**_sections(cloud, paste), **barbican_sections(cloud)}
    write_ini(_config(cloud), sections)
    databases = ("api_database", "database")
    write_ini(
        _compute_config(cloud), {name: options for name, options in sections.items() if name not in databases}
    )


def _sections(cloud: Cloud, paste: Path) -> Sections:
    own = cloud.directory / "nova"
    helper = {"helper_command": f"{VENV}/bin/privsep-helper --config-file {_compute_config(cloud)}"}
    return {
        "DEFAULT": {
            "log_dir": cloud.log,
            "state_path": own,
            "instances_path": own / "instances",
            "transport_url": cloud.transport_url(),
            "my_ip": "127.0.0.1",
            "host": cloud.hostname,
            "compute_driver": "libvirt.LibvirtDriver",
            "rootwrap_config": VENV / "etc" / "nova" / "rootwrap.conf",
            # A stopped nova-compute would otherwise keep taking messages for minutes.
            "graceful_shutdown_timeout": 5,
            "manager_shutdown_timeout": 2,
            "resume_guests_state_on_host_boot": False,
            "update_resources_interval": 10,
            # A cloud that keeps what its users delete: what SV2M removes must be gone all the same.
            "reclaim_instance_interval": 3600,
            # Whoever killed something waits until nova-compute has reported again.
            "report_interval": 3,
            # Periodic tasks start at once instead of at a random time in the first minute.
            "periodic_fuzzy_delay": 0,
            "reserved_host_disk_mb": 0,
            "disk_allocation_ratio": 8.0,
            "cpu_allocation_ratio": 16.0,
            "shutdown_timeout": 10,
            **_memory(cloud),
        },
        "wsgi": {"api_paste_config": paste},
        "api_database": {"connection": cloud.database_url("nova", "nova_api")},
        "database": {"connection": cloud.database_url("nova", "nova")},
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 5},
        "vnc": {"enabled": False},
        "serial_console": {"enabled": False},
        "glance": {"api_servers": cloud.url("glance")},
        "placement": credentials(cloud, "placement"),
        "neutron": credentials(cloud, "neutron"),
        "cinder": {**_without_region(credentials(cloud, "nova")), "os_region_name": "RegionOne"},
        "keystone_authtoken": authtoken(cloud, "nova"),
        "service_user": {"send_service_user_token": True, **credentials(cloud, "nova")},
        "libvirt": {
            "connection_uri": "qemu:///system",
            "virt_type": "qemu",
            "cpu_mode": "none",
            "hw_machine_type": "x86_64=q35",
            "nfs_mount_point_base": own / "mnt",
            "swtpm_enabled": False,
        },
        "oslo_concurrency": {"lock_path": cloud.run / "lock"},
        "oslo_messaging_notifications": {"driver": "noop"},
        # There is no sudo and none is needed: the lab runs as root.
        **dict.fromkeys(("nova_sys_admin", "privsep_osbrick", "vif_plug_linux_bridge_privileged"), helper),
    }


def _without_region(options: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in options.items() if name != "region_name"}


def schema(cloud: Cloud) -> list[list[str]]:
    """Migrate the databases and enter the cells by template, so that they hold for any cloud's passwords."""
    manage = program("nova-manage", _config(cloud))
    cell0 = ["--database_connection", f"{_URL}nova_cell0?{{query}}"]
    cell1 = [
        "--name",
        "cell1",
        "--database_connection",
        f"{_URL}nova?{{query}}",
        "--transport-url",
        f"{_URL}{{path}}",
    ]
    return [
        [*manage, "api_db", "sync"],
        [*manage, "cell_v2", "map_cell0", *cell0],
        [*manage, "cell_v2", "create_cell", *cell1],
        [*manage, "db", "sync"],
    ]


#: Run in each cloud: the copied cell gets an identity of its own.
FRESH_CELL = "UPDATE nova_api.cell_mappings SET uuid = UUID() WHERE name = 'cell1';\n"


def environment(cloud: Cloud) -> Mapping[str, str]:
    return {"OS_NOVA_CONFIG_DIR": str(cloud.etc / "nova")}


def client_environment(cloud: Cloud) -> dict[str, str]:
    return {**service_environment(cloud), **environment(cloud)}


#: They look for Placement in Keystone's catalog when they start.
_NEEDS = ("mariadb", "rabbitmq", "catalog")
API = Daemon(
    "nova-api",
    lambda cloud: uwsgi("nova.wsgi.osapi_compute", "nova-api"),
    answers_http("nova-api"),
    environment=environment,
    port=PORTS["nova-api"],
    needs=("mariadb", "rabbitmq"),
)
CONDUCTOR = Daemon(
    "nova-conductor",
    lambda cloud: program("nova-conductor", _config(cloud)),
    logged("nova-conductor.log", "Starting conductor node"),
    needs=_NEEDS,
)
SCHEDULER = Daemon(
    "nova-scheduler",
    lambda cloud: program("nova-scheduler", _config(cloud)),
    logged("nova-scheduler.log", "Starting scheduler node"),
    needs=_NEEDS,
)
COMPUTE = Daemon(
    "nova-compute",
    lambda cloud: program("nova-compute", _compute_config(cloud)),
    logged("nova-compute.log", "Starting compute node"),
    # Without conductor, Placement and Keystone's catalog it would wait in steps of ten seconds and more.
    needs=("nova-conductor", "placement", "catalog", "libvirtd"),
)
COMPONENT = Component(
    "nova",
    configure,
    (API, CONDUCTOR, SCHEDULER, COMPUTE),
    ("nova", "nova_api", "nova_cell0"),
    schema,
    environment,
)
