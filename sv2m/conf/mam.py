# SPDX-License-Identifier: Apache-2.0
"""Options of [mam]: mutual authentication."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

OPTS = [
    cfg.IntOpt(
        "key_lifetime",
        default=300,
        min=0,
        help="Seconds for which the evidence certificate's private key stays in this process's memory. Then "
        "it is wiped, and fetched from Barbican again when needed. 0 fetches it for each signature.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group="mam")


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [("mam", OPTS)]
