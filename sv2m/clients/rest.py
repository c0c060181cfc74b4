# SPDX-License-Identifier: Apache-2.0
"""One service's REST API through keystoneauth, for the services of which SV2M needs only a few calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from keystoneauth1 import adapter

from sv2m.clients.failures import from_status, translated, words
from sv2m.clients.keystone import Keystone

#: How often a connection that failed is tried again, for methods that change nothing.
_READ_RETRIES = 2


class RestService:
    """A service of this cloud, reached with SV2M's own user.

    A call that changes something is sent once: whether to send it again is for the caller, who knows whether
    that is safe. Reads are tried again when the connection fails.

    :param name: as its operators say it, e.g. ``"Cinder"``; for messages.
    :param service_type: of the catalog, e.g. ``"block-storage"``.
    :param major: major version of the API; None where the catalog's endpoint is used as it is.
    :param microversion: sent with every request; None sends none.
    """

    def __init__(
        self,
        keystone: Keystone,
        name: str,
        service_type: str,
        *,
        major: int | None = None,
        microversion: str | None = None,
    ) -> None:
        self._keystone = keystone
        self._name = name
        self._service_type = service_type
        self._versions: dict[str, Any] = {}
        if major is not None:
            self._versions = {"min_version": (major, 0), "max_version": (major, "latest")}
        self._microversion = microversion

    def request(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        project_id: str | None = None,
        accept: Collection[int] = (),
        **kwargs: Any,
    ) -> Any:
        """Send one request and return the answer (a ``requests.Response``).

        :param doing: what is tried, for messages; read after "cannot".
        :param project_id: scope of the token; None is SV2M's own project.
        :param accept: statuses of 400 and above that are an answer to the caller, not an error.
        :param kwargs: as for ``requests``: json, params, data, headers.
        :raises sv2m.errors.SV2MError: see :func:`sv2m.clients.failures.from_status`.
        """
        with translated(self._name, doing):
            service = adapter.Adapter(
                self._keystone.session(project_id),
                service_type=self._service_type,
                interface=self._keystone.interface,
                region_name=self._keystone.region_name,
                default_microversion=self._microversion,
                connect_retries=_READ_RETRIES if method == "GET" else 0,
                **self._versions,
            )
            response = service.request(path, method, raise_exc=False, **kwargs)
            if response.status_code >= 400 and response.status_code not in accept:
                raise from_status(
                    self._name,
                    doing,
                    response.status_code,
                    words(response),
                    response.headers.get("x-openstack-request-id"),
                )
            return response

    def json(self, doing: str, method: str, path: str, **kwargs: Any) -> Any:
        """As :meth:`request`, and return the answer's JSON document."""
        return self.request(doing, method, path, **kwargs).json()
