# SPDX-License-Identifier: Apache-2.0
"""Remote procedure calls between SV2M's own programs, over oslo.messaging.

Each module has a topic of its own, so that those that touch private keys may run apart from the rest. Errors of
:mod:`sv2m.errors` cross as what they are. Only references to keys ever travel here, never keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg

#: Exceptions of these modules are raised at the caller as the class that they are.
ALLOWED_REMOTE_EXCEPTIONS = ["sv2m.errors"]

TOPIC_CONDUCTOR = "sv2m-conductor"
TOPIC_CMM = "sv2m-cmm"
TOPIC_AZM = "sv2m-azm"
TOPIC_LMM = "sv2m-lmm"
TOPIC_MAM = "sv2m-mam"
TOPIC_KM = "sv2m-km"
TOPIC_EDM = "sv2m-edm"


def transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    """The RPC transport that ``transport_url`` names. Opens no connection yet."""
    return oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=ALLOWED_REMOTE_EXCEPTIONS)


def client(
    transport: oslo_messaging.Transport,
    topic: str,
    version: str,
    *,
    timeout: float | None = None,
    silence: float | None = None,
) -> oslo_messaging.RPCClient:
    """A client of one module's endpoint.

    :param version: the newest RPC version that this client speaks, ``"1.0"`` form.
    :param timeout: seconds to wait for an answer; None takes ``rpc_response_timeout``.
    :param silence: seconds without a sign of life of the server, which it gives while it works, after which it is taken
        for dead; None waits for the answer alone.
    """
    target = oslo_messaging.Target(topic=topic, version=version)
    return oslo_messaging.get_rpc_client(transport, target, timeout=timeout, call_monitor_timeout=silence)


def server(
    transport: oslo_messaging.Transport, topic: str, host: str, endpoints: Sequence[Any]
) -> oslo_messaging.RPCServer:
    """An RPC server of one module on one host; native threads answer the calls."""
    target = oslo_messaging.Target(topic=topic, server=host)
    access = oslo_messaging.ExplicitRPCAccessPolicy
    return oslo_messaging.get_rpc_server(transport, target, list(endpoints), access_policy=access)
