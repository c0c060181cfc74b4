# SPDX-License-Identifier: Apache-2.0
"""Options of the operator-facing API."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "api"
OPTS = [
    cfg.HostAddressOpt(
        "listen_address",
        default="127.0.0.1",
        help="Address on which sv2m-api listens when it runs by itself, not under a web server.",
    ),
    cfg.PortOpt("port", default=9890, help="TCP port on which it then listens."),
    cfg.StrOpt("certificate_file", help="PEM file: the TLS certificate with its chain. Unset: plain HTTP."),
    cfg.StrOpt("private_key_file", help="PEM file: its private key."),
    cfg.IntOpt("threads", default=16, min=2, help="Requests answered at the same time."),
    cfg.IntOpt(
        "connections",
        default=128,
        min=16,
        help="Connections held at the same time. When there are more, the oldest of those that have not yet sent a "
        "whole request is closed.",
    ),
    cfg.IntOpt(
        "request_timeout", default=60, min=1, help="Seconds in which a connection must have sent a whole request."
    ),
    cfg.IntOpt("default_limit", default=100, min=1, help="Items on a page when the caller does not say."),
    cfg.IntOpt("max_limit", default=1000, min=1, help="Items on a page at most."),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of [api]."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [(GROUP, OPTS)]
