# SPDX-License-Identifier: Apache-2.0
"""Options of [km]: the key manager."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

OPTS = [
    cfg.IntOpt(
        "ekb_pool_size",
        default=2,
        min=0,
        max=64,
        help="How many RSA key pairs are kept ready for arriving migrations. Each migration uses one up; "
        "making one takes up to some seconds of processor time.",
    ),
    cfg.IntOpt(
        "volume_timeout",
        default=300,
        min=1,
        help="Seconds that Cinder may take to make, or to delete, a volume for an arriving server.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group="km")


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [("km", OPTS)]
