# SPDX-License-Identifier: Apache-2.0
"""The migration hook: a filter in nova-api's pipeline.

``openstack server migrate --live-migration --host cloud-b.sv2m VM`` names no compute host but a peer. This
filter sees that, and asks SV2M's API in Nova's place, with the caller's own token. Everything else passes as
it came.

In nova-api's api-paste.ini, behind ``keystonecontext`` (before it nobody has verified the token yet)::

    [filter:sv2m]
    use = egg:sv2m#sv2m
    secure_migration_url = http://controller:9890
    # peers_suffix = .sv2m      how the names of peers end
    # ca_file =                 CA of the URL's TLS, where it is not a public one
    # timeout = 2               seconds for all of a call
    # at_once = 2               calls at a time in each process

    keystone = request_log sizelimit http_proxy_to_wsgi authtoken keystonecontext sv2m osapi_compute_app_v21

nova-api's threads are everybody's. So a call to SV2M is short, and answered before SV2M asks nova-api anything; one too
many is refused at once (503), and nothing else in nova-api waits for SV2M.
"""

from __future__ import annotations

import io
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from sv2m.nova import answers
from sv2m.nova.caller import Caller
from sv2m.nova.rules import NovaRules, Rules

LOG = logging.getLogger(__name__)

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

#: What is left of the path when paste's urlmap has taken the version off; the project id is optional.
_PATH = re.compile(r"^(?:/[0-9A-Za-z_-]{1,64})?/servers/(?P<server>[0-9A-Fa-f-]{32,36})/action/?$")
#: Nova's actions that may name a host, and its rules for them. These are the rules for a migration without a
#: host of Nova's: a peer is none, so naming one is no choice among Nova's hosts.
_ACTIONS = {
    "os-migrateLive": "os_compute_api:os-migrate-server:migrate_live",
    "migrate": "os_compute_api:os-migrate-server:migrate",
}
#: Bytes. A body that asks for a migration has some 100; a larger one is something else, and is not even read.
_LARGEST = 4096
#: Seconds for which a thread of nova-api may be asked to wait at most.
_LONGEST = 10.0


class Filter:
    """The WSGI filter.

    :param application: the rest of nova-api's pipeline.
    :param caller: calls SV2M's API.
    :param rules: Nova's own rules.
    :param peers_suffix: how the names of peers end.
    """

    def __init__(
        self, application: WSGIApplication, caller: Caller, rules: Rules, peers_suffix: str = ".sv2m"
    ) -> None:
        self._application = application
        self._caller = caller
        self._rules = rules
        self._suffix = peers_suffix

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer what asks for a migration to a peer, pass on everything else."""
        server = _server(environ)
        body = _body(environ) if server is not None else None
        asked = self._asked(body) if body is not None else None
        if server is None or asked is None:
            return self._application(environ, start_response)
        action, peer = asked
        answer = self._migrate(environ, server, action, peer)
        start_response(answer.status, answer.headers)
        return [answer.body]

    def _asked(self, body: bytes) -> tuple[str, str] | None:
        """The action and the peer that a body names; None where it names none."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return None
        # Nova takes a body with exactly one action, and refuses every other by itself.
        if not isinstance(document, dict) or len(document) != 1:
            return None
        action, arguments = next(iter(document.items()))
        host = arguments.get("host") if isinstance(arguments, dict) else None
        if action not in _ACTIONS or not isinstance(host, str):
            return None
        named = host.endswith(self._suffix) and len(host) > len(self._suffix)
        return (action, host) if named else None

    def _migrate(self, environ: dict[str, Any], server: str, action: str, peer: str) -> answers.Answer:
        context = environ.get("nova.context")
        if context is None:
            LOG.error("The sv2m filter must stand behind keystonecontext in api-paste.ini")
            return answers.error(500, "the sv2m filter stands at the wrong place in nova-api's pipeline")
        refused = self._rules.refusal(context, server, _ACTIONS[action])
        if refused is not None:
            return refused
        token = environ.get("HTTP_X_AUTH_TOKEN", "")
        answer = self._caller.migrate(token, server, peer, getattr(context, "request_id", None))
        LOG.info("Server %s to peer %r: SV2M answered %s", server, peer, answer.status)
        return answer


def _server(environ: dict[str, Any]) -> str | None:
    """The server's id, if the request is an action on a server."""
    match = _PATH.match(environ.get("PATH_INFO", "")) if environ.get("REQUEST_METHOD") == "POST" else None
    if match is None:
        return None
    try:
        return str(uuid.UUID(match["server"]))
    except ValueError:
        return None


def _body(environ: dict[str, Any]) -> bytes | None:
    """The body, which the application can still read as if nobody had; None if it is not looked at."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or "")
    except ValueError:
        # Chunked: how much there is shows only when it is read. Nova then sees the peer's name, and says
        # that it has no such host.
        return None
    if not 0 < length <= _LARGEST:
        return None
    stream, parts, missing = environ["wsgi.input"], [], length
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    body = b"".join(parts)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def filter_factory(global_conf: dict[str, str], **options: str) -> Callable[[WSGIApplication], Filter]:
    """What paste calls.

    :param options: ``secure_migration_url`` and the optional ones of this module's text.
    :raises ValueError: an option is missing, unknown or wrong; nova-api then does not start.
    """
    known = {"secure_migration_url", "peers_suffix", "ca_file", "timeout", "at_once"}
    if unknown := set(options) - known:
        raise ValueError(f"[filter:sv2m] has no option {', '.join(sorted(unknown))}")
    url = options.get("secure_migration_url", "")
    if not url.startswith(("http://", "https://")):
        raise ValueError("[filter:sv2m] secure_migration_url must be the URL of SV2M's API")
    suffix = options.get("peers_suffix", ".sv2m")
    if not suffix:
        raise ValueError("[filter:sv2m] peers_suffix is empty: every host would be a peer")
    timeout, at_once = float(options.get("timeout", "2")), int(options.get("at_once", "2"))
    if not 0 < timeout <= _LONGEST or at_once < 1:
        raise ValueError(f"[filter:sv2m] timeout must be at most {_LONGEST:g} seconds, at_once at least 1")
    caller = Caller(url, options.get("ca_file") or None, timeout, at_once)

    def make(application: WSGIApplication) -> Filter:
        return Filter(application, caller, NovaRules(), suffix)

    return make
