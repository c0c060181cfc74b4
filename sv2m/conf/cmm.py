# SPDX-License-Identifier: Apache-2.0
"""Options of [cmm]: certificate management."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

OPTS = [
    cfg.URIOpt(
        "est_url",
        schemes=["https"],
        help="Where the CA that all clouds trust enrols by EST (RFC 7030), e.g. "
        "https://ca.example.org/.well-known/est. Unset: certificates are requested and imported as files.",
    ),
    cfg.StrOpt("est_cafile", help="PEM file of the CA that vouches for the EST server's own certificate."),
    cfg.StrOpt("est_username", help="User name that the CA gave this cloud for enrolment."),
    cfg.StrOpt("est_password", secret=True, help="Its password."),
    cfg.IntOpt("est_timeout", default=30, min=1, help="Seconds that the EST server may take to answer."),
    cfg.IntOpt(
        "renew_before_days",
        default=30,
        min=0,
        help="How many days before its end the certificate is renewed. A third of the certificate's life is "
        "taken where that is less.",
    ),
    cfg.IntOpt("renewal_interval", default=3600, min=1, help="Seconds between two looks at its end."),
    cfg.ListOpt(
        "crl_url",
        default=[],
        help="Where the agreements' CAs have their revocation lists; fetched whatever certificates say.",
    ),
    cfg.ListOpt(
        "crl_hosts",
        default=[],
        help="Hosts from which a revocation list may also be fetched when a peer's certificate names a URL "
        "there (CRL distribution point). No other host that a certificate names is ever contacted.",
    ),
    cfg.IntOpt(
        "crl_max_age",
        default=300,
        min=0,
        help="Seconds after which a revocation list is fetched again, even if its nextUpdate is later.",
    ),
    cfg.IntOpt("crl_timeout", default=10, min=1, help="Seconds that fetching a revocation list may take."),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group="cmm")


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [("cmm", OPTS)]
