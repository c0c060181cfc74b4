# SPDX-License-Identifier: Apache-2.0
"""Everything outside itself that the conductor calls, in one place: the modules over RPC, peers, and this cloud."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg

from sv2m.azm import client as azm
from sv2m.cmm import client as cmm
from sv2m.edm import client as edm
from sv2m.engine import ports
from sv2m.engine.living import Living
from sv2m.gateway import client as gateway
from sv2m.km import client as km
from sv2m.lmm import client as lmm
from sv2m.mam import client as mam


@dataclass(frozen=True)
class Services:
    """The conductor's surroundings."""

    conf: cfg.ConfigOpts
    cmm: cmm.Client
    azm: azm.Client
    lmm: lmm.Client
    mam: mam.Client
    km: km.Client
    edm: edm.Client
    peers: gateway.PeerClient
    servers: ports.Servers
    volumes: Any
    ports: Any
    living: Living = field(default_factory=Living)
