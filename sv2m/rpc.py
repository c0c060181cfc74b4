# SPDX-License-Identifier: Apache-2.0
"""Remote procedure calls between SV2M's own programs, over oslo.messaging.

Each module has a topic of its own, so that those that touch private keys may run apart from the rest. Errors of
:mod:`sv2m.errors` cross as what they are. Only references to keys ever travel here, never keys.
"""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import oslo_messaging
from amqp.exceptions import AMQPError  # type: ignore[import-untyped]
from oslo_config import cfg
from oslo_context.context import RequestContext

from sv2m import errors

LOG = logging.getLogger(__name__)

#: Exceptions of these modules are raised at the caller as the class that they are.
ALLOWED_REMOTE_EXCEPTIONS = ["sv2m.errors"]

#: How oslo.messaging names the class of an error that came from elsewhere. It prints itself with the traceback of that
#: place: many lines, in which a peer may be quoted. They are in the log there.
_REMOTE = "_Remote"
#: How a server names the error where it is asked for a newer version than it speaks.
_TOO_OLD = "UnsupportedVersion"

#: Seconds after which who gives no sign of life, as it does while it works, is taken for dead, or for one whom the
#: broker has never told: the guest may be stopped while we wait.
SILENCE = 30.0

#: Transports whose broker is reached by TCP at the hosts of its URL.
_RABBITMQ = ("rabbit", "amqp", "kombu")
#: Seconds in which a node of the broker takes a connection.
_REACHED_WITHIN = 2.0

TOPIC_CONDUCTOR = "sv2m-conductor"
TOPIC_CMM = "sv2m-cmm"
TOPIC_AZM = "sv2m-azm"
TOPIC_LMM = "sv2m-lmm"
TOPIC_MAM = "sv2m-mam"
TOPIC_KM = "sv2m-km"
TOPIC_EDM = "sv2m-edm"


def transport(conf: cfg.ConfigOpts, url: str | None = None) -> oslo_messaging.Transport:
    """The RPC transport of a URL, by default of ``transport_url``. Opens no connection yet.

    :raises sv2m.errors.ConfigurationError: there is no such transport.
    """
    try:
        return oslo_messaging.get_rpc_transport(conf, url=url, allowed_remote_exmods=ALLOWED_REMOTE_EXCEPTIONS)
    except oslo_messaging.DriverLoadFailure as error:
        raise errors.ConfigurationError(f"transport_url: oslo.messaging has no driver {error.driver}") from error
    except ImportError as error:
        raise errors.ConfigurationError(f"transport_url: the driver lacks a Python package: {error}") from error
    except (oslo_messaging.InvalidTransportURL, ValueError):
        # What is wrong with it may quote its password, which a slash or a colon has put in a wrong place.
        raise errors.ConfigurationError(
            "transport_url is no URL of the form rabbit://USER:PASSWORD@HOST:PORT/VHOST; special characters in its "
            "parts are percent-encoded"
        ) from None


def _away(topic: str) -> errors.SV2MError:
    return errors.ServiceUnavailable(
        f"{topic}, a module of this cloud's engine, does not answer: it, or the message broker, is away or overloaded"
    )


class Broker:
    """Whether the message broker is there.

    oslo.messaging waits for a broker that is away for as long as it is, in a call and in a cast. That is right for a
    migration, and wrong for whoever has a user or a peer waiting: they ask here first.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._url = oslo_messaging.TransportURL.parse(conf)

    def check(self) -> None:
        """Whether one of the broker's nodes takes connections.

        :raises sv2m.errors.ServiceUnavailable: none does.
        """
        if self._url.transport not in _RABBITMQ:
            return
        why = ""
        for node in self._url.hosts:
            try:
                socket.create_connection((node.hostname, node.port or 5672), _REACHED_WITHIN).close()
            except OSError as error:
                why = f"{node.hostname}: {error.strerror or error}"
            else:
                return
        raise errors.ServiceUnavailable(f"the message broker takes no connection ({why})")


class Caller:
    """Calls the endpoint of one module, and says who is away when no answer comes.

    :param who: topic, or server, that is called.
    :param lost: the error of which ``who`` is at fault by not answering.
    :param broker: asked before each call, where nobody is to wait for a broker that is away.
    """

    def __init__(
        self,
        client: oslo_messaging.RPCClient,
        who: str,
        lost: Callable[[str], errors.SV2MError],
        broker: Broker | None = None,
    ) -> None:
        self._client = client
        self._who = who
        self._lost = lost
        self._broker = broker

    def at(self, server: str, version: str, patience: float | None = None) -> Caller:
        """A caller of one of the servers of the topic.

        :param version: which that server must speak.
        :param patience: seconds to wait for an answer; None as before.
        """
        prepared = self._client.prepare(server=server, version=version)
        return Caller(prepared if patience is None else prepared.prepare(timeout=patience), server, self._lost)

    def call(self, context: dict[str, Any], method: str, /, **arguments: Any) -> Any:
        """Call, and wait for the answer.

        :raises sv2m.errors.SV2MError: what the endpoint raised; or, if it does not answer, what ``lost`` makes;
            ServiceUnavailable if it is too old.
        """
        self._reach()
        try:
            return self._client.call(context, method, **arguments)
        except (oslo_messaging.MessagingTimeout, AMQPError) as error:
            # The broker has no such virtual host, or lets us not in: where no agent was ever installed.
            raise self._lost(self._who) from error
        except (oslo_messaging.UnsupportedVersion, oslo_messaging.RemoteError) as error:
            if getattr(error, "exc_type", _TOO_OLD) != _TOO_OLD:
                raise
            raise errors.ServiceUnavailable(
                f"{self._who} is older than who asks it: it knows no {method} of that version",
                code="module-too-old",
                remedy="Upgrade the SV2M of that host, and start it again; what waits for it goes on by itself.",
            ) from error
        except errors.SV2MError as error:
            if type(error).__name__.endswith(_REMOTE):
                error.__class__ = type(error).__mro__[1]
            raise

    def cast(self, context: dict[str, Any], method: str, /, **arguments: Any) -> None:
        """Call, and wait for nothing."""
        self._reach()
        self._client.cast(context, method, **arguments)

    def _reach(self) -> None:
        if self._broker is not None:
            self._broker.check()


def client(
    transport: oslo_messaging.Transport,
    topic: str,
    version: str,
    *,
    timeout: float | None = None,
    silence: float | None = None,
    lost: Callable[[str], errors.SV2MError] = _away,
    broker: Broker | None = None,
) -> Caller:
    """A client of one module's endpoint.

    :param version: the newest RPC version that this client speaks, ``"1.0"`` form.
    :param timeout: seconds to wait for an answer; None takes ``rpc_response_timeout``.
    :param silence: seconds without a sign of life of the server, which it gives while it works, after which it is taken
        for dead; None waits for the answer alone.
    :param lost: what is raised when it is; ServiceUnavailable unless given.
    :param broker: see :class:`Caller`.
    """
    target = oslo_messaging.Target(topic=topic, version=version)
    made = oslo_messaging.get_rpc_client(transport, target, timeout=timeout, call_monitor_timeout=silence)
    return Caller(made, topic, lost, broker)


def server(
    transport: oslo_messaging.Transport, topic: str, host: str, endpoints: Sequence[Any]
) -> oslo_messaging.RPCServer:
    """An RPC server of one module on one host; native threads answer the calls."""
    target = oslo_messaging.Target(topic=topic, server=host)
    access = oslo_messaging.ExplicitRPCAccessPolicy
    answering = [_Answering(endpoint) for endpoint in endpoints]
    return oslo_messaging.get_rpc_server(transport, target, answering, access_policy=access)


def logged_as(request_id: str | None) -> None:
    """Have what this thread logs from now on bear a request's id, by which a user asks about it."""
    RequestContext(request_id=request_id)


class _Answering:
    """An endpoint whose errors are answers.

    oslo.messaging logs what an endpoint raises as an accident, with its traceback, unless it was expected. A refusal is
    one line here, with the migration that it is about; a bug of ours keeps its traceback.
    """

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint
        self.target: oslo_messaging.Target = endpoint.target

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._endpoint, name)
        if not getattr(method, "exposed", False):
            return method

        @functools.wraps(method)
        def answer(context: dict[str, Any], **arguments: Any) -> Any:
            logged_as(context.get("request_id"))
            try:
                return method(context, **arguments)
            except errors.SV2MError as error:
                if error.fault == "internal":
                    raise
                level = logging.WARNING if error.fault == "host" else logging.INFO
                about = context.get("migration_id") or context.get("request_id") or "-"
                LOG.log(level, "Migration %s: %s: %s (%s)", about, name, error, error.code)
                raise oslo_messaging.ExpectedException() from error

        return answer
