# SPDX-License-Identifier: Apache-2.0
"""Options of the gateway, and of the client that calls a peer's gateway."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "gateway"
OPTS = [
    cfg.HostAddressOpt("listen_address", default="0.0.0.0", help="Address that peers reach."),  # noqa: S104
    cfg.PortOpt("port", default=9891, help="TCP port that peers reach."),
    cfg.StrOpt("certificate_file", help="PEM file: the TLS server certificate, with its chain."),
    cfg.StrOpt("private_key_file", help="PEM file: its private key."),
    cfg.IntOpt("threads", default=16, min=2, help="Messages that the engine is asked about at the same time."),
    cfg.IntOpt(
        "connections",
        default=256,
        min=16,
        help="Connections held at the same time. When there are more, the oldest of those that have not yet sent a "
        "whole message is closed.",
    ),
    cfg.IntOpt(
        "message_timeout",
        default=120,
        min=10,
        help="Seconds in which a connection must have sent a whole message.",
    ),
    cfg.IntOpt(
        "request_timeout",
        default=10,
        min=1,
        help="Seconds that a connection may be silent before it is closed.",
    ),
    cfg.IntOpt(
        "peer_timeout",
        default=60,
        min=5,
        help="Seconds to wait for one answer of a peer's gateway, from connecting to it to the answer's last byte.",
    ),
    cfg.IntOpt(
        "peer_patience",
        default=600,
        min=10,
        help="Seconds to keep asking a peer that does not answer or says that it is still working, before a "
        "migration that may still be withdrawn is withdrawn.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of [gateway]."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [(GROUP, OPTS)]
