# SPDX-License-Identifier: Apache-2.0
"""The middleware around the application, composed in code: no file can leave one out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import webob
from keystonemiddleware import auth_token
from oslo_config import cfg
from oslo_log import log
from oslo_middleware import healthcheck, http_proxy_to_wsgi, request_id, sizelimit
from webob.dec import wsgify

from sv2m import errors
from sv2m.api import faults, versions
from sv2m.api.application import Application
from sv2m.api.health import Health
from sv2m.api.ports import Services

LOG = log.getLogger(__name__)
HEALTH = "/healthcheck"
WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Public:
    """Answers what needs no token (the versions, and whether it is alive); hands on everything else."""

    def __init__(self, application: WSGIApplication, health: WSGIApplication) -> None:
        self._application = application
        self._health = health

    @wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer one request."""
        try:
            if request.path_info == HEALTH:
                return request.get_response(self._health)
            public = versions.answer_for(request)
        except UnicodeDecodeError:
            public = None  # a path that is not UTF-8 is nothing public; the application says what is wrong
        return public or request.get_response(self._application)


class InOurWords:
    """Whatever fails in the middleware behind it, or is refused there, is told as the application tells its errors."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    @wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer one request."""
        request_id = str(request.environ.get("openstack.request_id", ""))
        try:
            answered = request.get_response(self._application)
        except Exception:
            LOG.exception("The middleware failed")
            return faults.response(errors.SV2MError("the service failed unexpectedly"), request_id)
        # What /healthcheck says is for load balancers.
        return answered if request.environ.get("PATH_INFO") == HEALTH else faults.in_our_words(answered, request_id)


def bounded(application: WSGIApplication, conf: cfg.ConfigOpts) -> WSGIApplication:
    """No body above the configured size, whether its length is said or not, and every error in our words."""
    return InOurWords(sizelimit.RequestBodySizeLimiter(application, conf))


def build(
    conf: cfg.ConfigOpts, services: Services, backends: Mapping[str, Callable[[], None]] | None = None
) -> WSGIApplication:
    """The whole pipeline.

    :param backends: without which the API is blind: what asks each, and raises if it does not answer.

    From the outside in: the proxy's headers are read first, because the links in every answer need them; then the
    request gets its id, so that everything behind is logged and answered with it; then what puts every error behind
    it into our words; then the size limit, before anything reads the body; then the versions and the health check,
    which nobody needs a token for; then Keystone's middleware, behind which nothing is reached without a valid
    token; then the application.
    """
    application: WSGIApplication = Application(services)
    application = auth_token.AuthProtocol(
        application, {"oslo_config_config": conf, "delay_auth_decision": False}
    )
    application = Public(application, Health(healthcheck.Healthcheck(None, conf), backends or {}))
    application = bounded(application, conf)
    application = request_id.RequestId(application, conf)
    outermost: WSGIApplication = http_proxy_to_wsgi.HTTPProxyToWSGI(application, conf)
    return outermost
