# SPDX-License-Identifier: Apache-2.0
"""libvirtd: the hypervisor of a cloud's compute host."""

from __future__ import annotations

import shutil
import socket
import uuid
from pathlib import Path

from lab.cloud import Cloud
from lab.ini import write_private
from lab.services.base import Component, Daemon


def configure(cloud: Cloud) -> None:
    """Guests run as root without confinement: there is one user and no security driver inside the lab."""
    own = cloud.directory / "libvirt"
    for name in ("run", "lib", "etc", "cache", "log"):
        (own / name).mkdir(parents=True, exist_ok=True)
    filters = Path("/etc/libvirt/nwfilter")
    if filters.is_dir():
        shutil.copytree(filters, own / "etc" / "nwfilter", dirs_exist_ok=True)
    write_private(
        own / "etc" / "libvirtd.conf",
        'listen_tls = 0\nlisten_tcp = 0\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n'
        # Two libvirtd on one machine would otherwise both take the machine's own, and be one host to Nova.
        f'host_uuid = "{uuid.uuid4()}"\n'
        f'log_outputs = "3:file:{cloud.log / "libvirtd.log"}"\n',
    )
    write_private(
        own / "etc" / "qemu.conf",
        'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nstdio_handler = "file"\n'
        "cgroup_controllers = []\nnamespaces = []\nremember_owner = 0\n",
    )


def _ready(cloud: Cloud) -> bool:
    """The socket is below /run, which is the cloud's own; its directory is also bound below the cloud's."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(cloud.directory / "libvirt" / "run" / "libvirt-sock"))
        except OSError:
            return False
    return True


DAEMON = Daemon(
    "libvirtd",
    # The pid file's usual place is shared by all libvirtd of a machine: the second would end without a word.
    lambda cloud: [
        "/usr/sbin/libvirtd",
        "-p",
        "/run/libvirt/libvirtd.pid",
        "-f",
        "/etc/libvirt/libvirtd.conf",
    ],
    _ready,
)
COMPONENT = Component("libvirtd", configure, (DAEMON,))
