# SPDX-License-Identifier: Apache-2.0
"""Certificate management, put together."""

from __future__ import annotations

from datetime import timedelta

import oslo_messaging
from oslo_config import cfg

from sv2m import rpc
from sv2m.clients.barbican import Barbican
from sv2m.clients.keystone import Keystone
from sv2m.cmd.modules import Module
from sv2m.cmm import server
from sv2m.cmm.enrolment import Enrolment
from sv2m.cmm.est import EstClient
from sv2m.cmm.fetch import HttpFetch
from sv2m.cmm.identity import RetiredKeys
from sv2m.cmm.renewal import Renewal
from sv2m.cmm.revocation import RevocationLists


def enrolment(conf: cfg.ConfigOpts) -> Enrolment:
    """How this cloud gets its certificate."""
    options = conf.cmm
    service = None
    if options.est_url:
        service = EstClient(
            options.est_url,
            options.est_username,
            options.est_password,
            options.est_cafile,
            options.est_timeout,
        )
    return Enrolment(conf.cloud_name, Barbican(Keystone(conf)), service)


def build_cmm(conf: cfg.ConfigOpts, transport: oslo_messaging.Transport) -> Module:
    """The module."""
    options = conf.cmm
    fetch = HttpFetch(options.crl_timeout)
    lists = RevocationLists(
        fetch, options.crl_url, options.crl_hosts, options.crl_max_age, briefly=fetch.briefly
    )
    renewal = Renewal(
        enrolment(conf),
        RetiredKeys(Barbican(Keystone(conf))),
        timedelta(days=options.renew_before_days),
        options.renewal_interval,
    )
    return Module(rpc.TOPIC_CMM, server.Endpoint(lists), [renewal])
