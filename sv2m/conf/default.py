# SPDX-License-Identifier: Apache-2.0
"""Options that every program of SV2M reads."""

from __future__ import annotations

import socket
from typing import Any

from oslo_config import cfg

OPTS = [
    cfg.HostDomainOpt(
        "cloud_name",
        help="Name of this cloud, as its evidence certificate and its peers' agreements spell it.",
    ),
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="localhost",
        help="Name of this node in RPC; on a compute host, the same as [DEFAULT] host in nova.conf.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of [DEFAULT]."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [("DEFAULT", OPTS)]
