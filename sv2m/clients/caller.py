# SPDX-License-Identifier: Apache-2.0
"""Nova, Cinder and Barbican with a caller's own token: the ports of :mod:`sv2m.api.ports`.

Nothing here is done with SV2M's own rights. Its own session serves only to ask Keystone what the caller's
token holds: the catalog, with the caller's project in its URLs, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from keystoneauth1 import access, adapter
from keystoneauth1.identity.access import AccessInfoPlugin

from sv2m import errors
from sv2m.api.ports import Server, VolumeSecret
from sv2m.clients.failures import from_status, translated, words
from sv2m.clients.keystone import Keystone

#: 2.3 brought attached volumes, 2.9 the lock; nothing newer is needed here.
NOVA_MICROVERSION = "2.26"
#: keystoneauth prints requests and answers when its logger is at DEBUG; what callers and services tell each
#: other about keys is nobody's business.
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


class CallerServices:
    """This cloud's services, seen with a caller's rights.

    :param keystone: SV2M's own sessions.
    """

    def __init__(self, keystone: Keystone) -> None:
        self._keystone = keystone

    def get(self, token: str, server_id: str) -> Server:
        """The server of this id.

        :raises sv2m.errors.NotFound: there is none that the caller may see.
        """
        body = self._request(token, "Nova", "compute", "GET", f"/servers/{server_id}")["server"]
        return Server(
            id=body["id"],
            name=body.get("name") or "",
            project_id=body["tenant_id"],
            status=body["status"],
            task_state=body.get("OS-EXT-STS:task_state"),
            locked=bool(body.get("locked")),
            volume_ids=tuple(one["id"] for one in body.get("os-extended-volumes:volumes_attached", ())),
        )

    def find(self, token: str, volume_ids: Sequence[str]) -> list[VolumeSecret]:
        """The secrets of those of these volumes that are encrypted."""
        found = []
        for volume_id in volume_ids:
            path = f"/volumes/{volume_id}/encryption"
            body = self._request(token, "Cinder", "block-storage", "GET", path)
            if body.get("encryption_key_id"):
                ref = self._secret_url(token, body["encryption_key_id"])
                found.append(VolumeSecret(volume_id, ref))
        return found

    def granted(self, token: str, secret_ref: str) -> bool:
        """Whether SV2M's user is among those who may read the secret."""
        return self._keystone.user_id() in (self._readers(token, secret_ref).get("users") or [])

    def grant(self, token: str, secret_ref: str) -> None:
        """Add SV2M's user to those who may read the secret; everybody else stays."""
        user = self._keystone.user_id()
        read = self._readers(token, secret_ref)
        users = list(read.get("users") or [])
        if user not in users:
            self._write(token, secret_ref, read, [*users, user])

    def revoke(self, token: str, secret_ref: str) -> None:
        """Take SV2M's user off again. Doing it twice does no harm."""
        user = self._keystone.user_id()
        try:
            read = self._readers(token, secret_ref)
            users = list(read.get("users") or [])
            if user in users:
                self._write(token, secret_ref, read, [one for one in users if one != user])
        except errors.NotFound:
            return
        except errors.SV2MError as error:
            raise errors.KeyManagerError(
                f"SV2M's user may still be on the access list of {secret_ref}: {error}",
                remedy="Take it off, and try again: "
                f"openstack acl user remove --user {user} --operation-type read {secret_ref}",
            ) from error

    def _readers(self, token: str, secret_ref: str) -> dict[str, Any]:
        body = self._request(token, "Barbican", "key-manager", "GET", f"{secret_ref}/acl")
        read: dict[str, Any] = body.get("read") or {}
        return read

    def _write(self, token: str, secret_ref: str, read: dict[str, Any], users: list[str]) -> None:
        # PUT replaces the whole list: what stood there is written again, and so is whether the project may
        # read.
        access_list = {"read": {"users": users, "project-access": bool(read.get("project-access", True))}}
        self._request(token, "Barbican", "key-manager", "PUT", f"{secret_ref}/acl", json=access_list)

    def _secret_url(self, token: str, secret_id: str) -> str:
        with translated("Barbican", "find its endpoint"):
            endpoint = self._adapter(token, "key-manager").get_endpoint(version=(1, 0))
        if not endpoint:
            raise errors.ConfigurationError("Barbican: the catalog has no endpoint of type key-manager")
        return f"{str(endpoint).rstrip('/')}/secrets/{secret_id.rstrip('/').rsplit('/', 1)[-1]}"

    def _adapter(self, token: str, service_type: str) -> adapter.Adapter:
        return adapter.Adapter(
            self._keystone.session(),
            auth=AccessInfoPlugin(self._access(token)),
            service_type=service_type,
            interface=self._keystone.interface,
            region_name=self._keystone.region_name,
            logger=_SILENT,
        )

    def _access(self, token: str) -> access.AccessInfo:
        """What the token holds, as Keystone tells its own bearer; the token itself is used as it is.

        Asking for another one from it would fail for application credentials and trusts.
        """
        with translated("Keystone", "look at the caller's token"):
            response = self._keystone.session().get(
                "/auth/tokens",
                authenticated=False,
                headers={"X-Auth-Token": token, "X-Subject-Token": token},
                endpoint_filter={
                    "service_type": "identity",
                    "interface": self._keystone.interface,
                    "region_name": self._keystone.region_name,
                    "min_version": (3, 0),
                    "max_version": (3, "latest"),
                },
                logger=_SILENT,
            )
            return access.create(body=response.json(), auth_token=token)

    def _request(
        self, token: str, service: str, service_type: str, method: str, path: str, **kwargs: Any
    ) -> dict[str, Any]:
        doing = f"{method} {path} for the caller"
        versions: dict[str, Any] = {}
        if service_type == "compute":
            versions = {"microversion": NOVA_MICROVERSION}
        elif service_type == "block-storage":
            versions = {"endpoint_filter": {"min_version": (3, 0), "max_version": (3, "latest")}}
        with translated(service, doing):
            response = self._adapter(token, service_type).request(
                path, method, raise_exc=False, **versions, **kwargs
            )
        if response.status_code < 400:
            body: dict[str, Any] = response.json() if response.content else {}
            return body
        if response.status_code in (401, 403):
            # Not SV2M's credentials but the caller's lack of rights.
            raise errors.PolicyError(
                f"{service} does not allow this to you: {method} {path}",
                remedy="Ask with a token of the project that owns the server and its volumes, "
                "with a role that may change the access list of their keys.",
            )
        request_id = response.headers.get("x-openstack-request-id")
        raise from_status(service, doing, response.status_code, words(response), request_id)
