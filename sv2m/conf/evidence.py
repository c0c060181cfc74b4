# SPDX-License-Identifier: Apache-2.0
"""Options of [evidence]: timestamps, notifications and retention of what proves a migration."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

OPTS = [
    cfg.URIOpt(
        "tsa_url",
        schemes=["http", "https"],
        help="Where a timestamp authority (RFC 3161, section 3.4) answers, e.g. https://tsa.example.org/. Unset: "
        "evidence is kept without timestamps.",
    ),
    cfg.StrOpt(
        "tsa_cafile",
        help="PEM file of the root certificates that vouch for the authority's timestamps. Needed with tsa_url.",
    ),
    cfg.StrOpt(
        "tsa_policy",
        regex=r"^[0-2](\.\d+)+$",
        help="The policy, as a dotted OID, under which timestamps must be given. Unset: any of that authority's.",
    ),
    cfg.IntOpt("tsa_timeout", default=10, min=1, help="Seconds that the authority may take to answer."),
    cfg.ListOpt(
        "stamped",
        default=["Transfer", "Prepared", "Release", "Receipt", "Closure"],
        help="Messages that are stamped. From the Envelope on each message carries the digest of those that opened "
        "the session, so the default covers all of them. The audit log is stamped when a migration has ended.",
    ),
    cfg.IntOpt("interval", default=5, min=1, help="Seconds between two looks for what is to be stamped or notified."),
    cfg.IntOpt(
        "retention_days",
        default=3650,
        min=0,
        help="Days after a migration's end before which sv2m-manage evidence purge does not touch its evidence.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group="evidence")


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [("evidence", OPTS)]
