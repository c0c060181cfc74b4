# SPDX-License-Identifier: Apache-2.0
"""Sessions of SV2M's own user, and its roles on the projects into which agreements let servers come."""

from __future__ import annotations

import threading
from typing import Any

from keystoneauth1 import exceptions as ks_exceptions
from keystoneauth1 import loading
from keystoneauth1.session import Session
from oslo_config import cfg

from sv2m import errors
from sv2m.clients.failures import translated
from sv2m.conf.service_credentials import GROUP

#: Seconds after which a call to another service is given up, unless [service_credentials] timeout says
#: another.
DEFAULT_TIMEOUT = 60


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Add keystoneauth's options to [service_credentials]. Doing it twice does no harm."""
    loading.register_auth_conf_options(conf, GROUP)
    loading.register_session_conf_options(conf, GROUP)
    conf.set_default("timeout", DEFAULT_TIMEOUT, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """keystoneauth's options of [service_credentials], for oslo-config-generator."""
    plugin: Any = loading.get_plugin_loader("v3password")
    return [
        (
            GROUP,
            [
                *loading.get_auth_common_conf_options(),
                *loading.get_session_conf_options(),
                *loading.get_auth_plugin_conf_options(plugin),
            ],
        )
    ]


class Keystone:
    """The service user's sessions: one in its own project, and one for each project where it acts for an
    agreement.

    Nothing is opened before a session is used; keystoneauth fetches and renews tokens by itself.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        register_opts(conf)
        self._conf = conf
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    @property
    def region_name(self) -> str | None:
        """Region whose endpoints are to be used."""
        region: str | None = self._conf[GROUP].region_name
        return region

    @property
    def interface(self) -> str:
        """Which of the catalog's interfaces is to be used."""
        return str(self._conf[GROUP].interface)

    def session(self, project_id: str | None = None) -> Session:
        """The session of SV2M's user, scoped to its own project or to ``project_id``.

        :raises sv2m.errors.ConfigurationError: [service_credentials] is incomplete.
        """
        with self._lock:
            key = project_id or ""
            if key not in self._sessions:
                self._sessions[key] = self._load(project_id)
            return self._sessions[key]

    def user_id(self) -> str:
        """Keystone's id of SV2M's user."""
        with translated("Keystone", "authenticate SV2M's user"):
            return str(self.session().get_user_id())

    def project_id(self) -> str:
        """Keystone's id of SV2M's own project."""
        with translated("Keystone", "authenticate SV2M's user"):
            return str(self.session().get_project_id())

    def ensure_member(self, project_id: str) -> None:
        """Give SV2M's user its roles on a project. Called when an agreement names that project; idempotent.

        :raises sv2m.errors.NotFound: there is no such project.
        :raises sv2m.errors.HostError: Keystone refused.
        """
        # Not with clients.rest, which is built on this module.
        where: dict[str, Any] = {
            "endpoint_filter": {
                "service_type": "identity",
                "interface": self.interface,
                "region_name": self.region_name,
                "min_version": (3, 0),
                "max_version": (3, "latest"),
            }
        }
        own = self.session()
        user_id = self.user_id()
        for name in self._conf[GROUP].project_roles:
            with translated("Keystone", f"find role {name}"):
                roles = own.get("/roles", params={"name": name}, **where).json()["roles"]
            if not roles:
                raise errors.ConfigurationError(f"[{GROUP}] project_roles: there is no role {name}")
            with translated("Keystone", f"give SV2M's user role {name} on project {project_id}"):
                own.put(f"/projects/{project_id}/users/{user_id}/roles/{roles[0]['id']}", **where)
        with self._lock:
            # A token made before the role was given does not carry it.
            self._sessions.pop(project_id, None)

    def _load(self, project_id: str | None) -> Session:
        # Any plugin that knows a project can be scoped to another one by the same credentials.
        scope: dict[str, Any] = {}
        if project_id is not None:
            scope = {
                "project_id": project_id,
                "project_name": None,
                "project_domain_id": None,
                "project_domain_name": None,
            }
        try:
            auth = loading.load_auth_from_conf_options(self._conf, GROUP, **scope)
        except (ks_exceptions.MissingRequiredOptions, ks_exceptions.NoMatchingPlugin) as exc:
            raise errors.ConfigurationError(f"[service_credentials]: {exc}") from exc
        if auth is None:
            raise errors.ConfigurationError("[service_credentials] auth_type is not set")
        return loading.load_session_from_conf_options(self._conf, GROUP, auth=auth)
