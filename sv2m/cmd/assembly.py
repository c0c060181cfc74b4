# SPDX-License-Identifier: Apache-2.0
"""Putting the API together from its parts."""

from __future__ import annotations

from oslo_config import cfg

from sv2m import rpc
from sv2m.api import deploy
from sv2m.api.ports import Services
from sv2m.azm import limits
from sv2m.clients.caller import CallerServices
from sv2m.clients.keystone import Keystone
from sv2m.db import engine as database
from sv2m.engine import client as conductor
from sv2m.km import client as km
from sv2m.lmm import client as lmm
from sv2m.policies.enforcer import Enforcer
from sv2m.reporting import API, Reporting

#: Seconds that KM may take to copy a server's keys: less than an API may be silent before an engine takes it for dead.
COPYING = 30.0


def api(conf: cfg.ConfigOpts) -> deploy.WSGIApplication:
    """The API as one WSGI application, ready to answer.

    :raises Exception: the policy file cannot be read.
    """
    rules = Enforcer(conf)
    rules.start()
    database.start(conf)
    keystone = Keystone(conf)
    caller = CallerServices(keystone)
    transport, broker = rpc.transport(conf), rpc.Broker(conf)
    services = Services(
        servers=caller,
        grants=caller,
        keys=km.Client(transport, COPYING, broker=broker),
        projects=keystone,
        conductor=conductor.Client(transport, broker=broker),
        load=lmm.Client(transport, broker=broker),
        rules=rules,
        cloud_name=conf.cloud_name,
        owner=f"api:{conf.host}",
        own_limits=limits.defaults(conf.azm),
        default_limit=conf.api.default_limit,
        max_limit=conf.api.max_limit,
    )
    # For as long as the process lives: under a web server nothing says when that ends.
    Reporting(API, conf.host).start()
    return deploy.build(conf, services, {"database": database.ping, "message broker": broker.check})
