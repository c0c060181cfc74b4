# SPDX-License-Identifier: Apache-2.0
"""One call of the API: who calls, with what, and what may be used to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import webob
from oslo_context import context as oslo_context

from sv2m import errors
from sv2m.api.ports import Services


@dataclass(frozen=True)
class Caller:
    """Whom Keystone's token names, as keystonemiddleware has verified it."""

    #: Never logged, stored or sent to anybody but this cloud's own services.
    token: str = field(repr=False)
    credentials: dict[str, Any]
    request_id: str

    @classmethod
    def of(cls, environ: dict[str, Any]) -> Caller:
        """From the headers that keystonemiddleware sets after removing any that came from outside."""
        context = oslo_context.RequestContext.from_environ(environ)
        credentials = {
            "user_id": context.user_id,
            "user_domain_id": context.user_domain_id,
            "project_id": context.project_id,
            "project_domain_id": context.project_domain_id,
            "domain_id": context.domain_id,
            "system_scope": context.system_scope,
            "is_admin_project": context.is_admin_project,
            "roles": list(context.roles),
        }
        return cls(str(context.auth_token or ""), credentials, str(context.request_id))

    @property
    def project_id(self) -> str | None:
        """The project that the token is scoped to."""
        project: str | None = self.credentials["project_id"]
        return project

    @property
    def user_id(self) -> str | None:
        """The user."""
        user: str | None = self.credentials["user_id"]
        return user

    @property
    def who(self) -> dict[str, Any]:
        """What the audit log says of the caller."""
        return {"user_id": self.user_id, "project_id": self.project_id, "request_id": self.request_id}


@dataclass(frozen=True)
class Call:
    """One call."""

    request: webob.Request
    caller: Caller
    services: Services
    #: The variable parts of the path.
    path: Mapping[str, str]
    query: Mapping[str, str]
    #: The JSON body, after its schema; None where the route takes none.
    body: Any = None

    def allows(self, rule: str, project_id: str | None = None) -> bool:
        """Whether ``rule`` allows the caller to act on something of this project."""
        target = {"project_id": project_id if project_id is not None else self.caller.project_id}
        return self.services.rules.allows(rule, self.caller.credentials, target)

    def authorize(self, rule: str, project_id: str | None = None) -> None:
        """Insist that ``rule`` allows it.

        :raises sv2m.errors.PolicyError: it does not.
        """
        if not self.allows(rule, project_id):
            roles = ", ".join(sorted(self.caller.credentials["roles"])) or "none"
            raise errors.PolicyError(
                f"this needs {self.services.rules.needed(rule)}; your roles in this project: {roles} (rule {rule})",
                remedy="Ask an administrator for the role, or use a project in which you have it.",
            )

    def rpc_context(self, migration_id: str | None = None) -> dict[str, Any]:
        """What accompanies a call to another of SV2M's programs."""
        context: dict[str, Any] = {"request_id": self.caller.request_id}
        return context if migration_id is None else {**context, "migration_id": migration_id}


def answer(status: int, body: Mapping[str, Any] | None = None, **headers: str) -> webob.Response:
    """A JSON answer; without ``body``, an empty one.

    :param headers: further headers, ``Content_Type`` for Content-Type.
    """
    response = webob.Response(status=status)
    if body is None:
        response.headers.pop("Content-Type", None)
    else:
        response.content_type = "application/json"
        response.json_body = dict(body)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response
