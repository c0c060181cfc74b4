# SPDX-License-Identifier: Apache-2.0
"""Barbican: where every key lives. Everything here takes or gives references; only :meth:`Barbican.read`
gives a key.

Keys must not reach a log. keystoneauth prints request and response bodies when its logger is at DEBUG, so
every request to Barbican goes through a logger that passes nothing on; what Barbican
says in an error is not copied into ours (see :mod:`sv2m.clients.failures`).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

from barbicanclient import client as barbican_client

from sv2m import errors
from sv2m.clients.failures import translated
from sv2m.clients.keystone import Keystone


def _nothing(record: logging.LogRecord) -> bool:
    return False


LOG = logging.getLogger(__name__)

#: Filters, not levels: whatever an operator sets the levels to, these stay silent.
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.addFilter(_nothing)
# The library logs Barbican's error texts, which quote the request when a schema does not fit.
logging.getLogger("barbicanclient.client").addFilter(_nothing)

#: Seconds that an order may take; where Barbican works without a queue it is done when the POST returns.
ORDER_DEADLINE = 60.0
_POLL = 0.25


class Barbican:
    """Barbican's API, as far as SV2M needs it, with the rights of SV2M's own user."""

    def __init__(self, keystone: Keystone) -> None:
        self._keystone = keystone
        self._clients: dict[str | None, Any] = {}
        self._lock = threading.Lock()

    def user_id(self) -> str:
        """Keystone's id of the user whose rights these are."""
        return self._keystone.user_id()

    def make_key(self, name: str, bits: int = 256) -> str:
        """Have Barbican itself make an AES key, and return its reference.

        An order that failed, or took too long, is taken back: what a queue holds of it makes no key any more. One
        that is just being carried out may still make one; it is found by its name.

        :raises sv2m.errors.KeyManagerError: Barbican refused, or the order failed or took too long.
        """
        with translated("Barbican", f"order key {name}"):
            orders = self._client(None).orders
            order_ref = orders.create_key(
                name=name, algorithm="aes", bit_length=bits, payload_content_type="application/octet-stream"
            ).submit()
        try:
            secret_ref = self._made(orders, order_ref, name)
        except BaseException:
            try:
                _remove(orders, order_ref)
            except errors.SV2MError as error:
                # What went wrong first is what is told.
                LOG.warning("An order without a key stays: %s", error)
            raise
        _remove(orders, order_ref)
        return secret_ref

    @staticmethod
    def _made(orders: Any, order_ref: str, name: str) -> str:
        deadline = time.monotonic() + ORDER_DEADLINE
        with translated("Barbican", f"order key {name}"):
            order = orders.get(order_ref)
            while str(order.status).upper() == "PENDING" and time.monotonic() < deadline:
                time.sleep(_POLL)
                order = orders.get(order_ref)
            status, secret_ref = str(order.status).upper(), order.secret_ref
        if status != "ACTIVE" or not secret_ref:
            raise errors.KeyManagerError(
                f"Barbican: order {order_ref} for key {name} is {status}"
                + (f" (status {order.error_status_code})" if order.error_status_code else "")
            )
        return str(secret_ref)

    def store(
        self,
        payload: bytes | bytearray,
        *,
        name: str,
        secret_type: str,
        algorithm: str | None = None,
        bit_length: int | None = None,
        mode: str | None = None,
        project_id: str | None = None,
    ) -> str:
        """Store bytes, and return their reference.

        :param secret_type: one of Barbican's: symmetric, private, certificate, opaque.
        :param project_id: in which project; None is SV2M's own.
        """
        with translated("Barbican", f"store {name}"):
            secret = self._client(project_id).secrets.create(
                name=name,
                payload=bytes(payload),
                secret_type=secret_type,
                algorithm=algorithm,
                bit_length=bit_length,
                mode=mode,
            )
            return str(secret.store())

    def read(self, ref: str, *, project_id: str | None = None) -> bytearray:
        """The bytes of a secret, in a buffer that the caller wipes after use.

        :param project_id: as whose member it is read; None is SV2M's own project, which reads its own secrets
            and those whose access list names SV2M's user.
        :raises sv2m.errors.NotFound: there is no such secret.
        :raises sv2m.errors.KeyManagerError: SV2M's user may not read it, or Barbican failed.
        """
        doing = f"read secret {secret_id(ref)}"
        with translated("Barbican", doing):
            payload = self._client(project_id).secrets.get(ref).payload
        if payload is None:
            raise errors.KeyManagerError(f"Barbican: cannot {doing}: it has no payload")
        return bytearray(payload.encode() if isinstance(payload, str) else payload)

    def delete(self, ref: str, *, project_id: str | None = None) -> None:
        """Delete a secret; that it is gone already is fine."""
        try:
            with translated("Barbican", f"delete secret {secret_id(ref)}"):
                # Force: a service that registered itself as the secret's consumer must not keep our key
                # alive.
                self._client(project_id).secrets.delete(ref, force=True)
        except errors.NotFound:
            return

    def find(self, name: str, *, project_id: str | None = None, mode: str | None = None) -> list[str]:
        """References of the secrets of one project that have exactly this name.

        :param mode: and that were stored with exactly this one; None asks for none.
        """
        with translated("Barbican", f"list secrets of name {name}"):
            found = self._client(project_id).secrets.list(name=name, mode=mode, limit=100)
            # The answer decides what is deleted, so the mode is looked at and not only asked for.
            return [str(one.secret_ref) for one in found if mode in (None, one.mode)]

    def grant(self, ref: str, user_id: str) -> None:
        """Let one more user read a secret that SV2M's own project owns."""
        with translated("Barbican", f"let user {user_id} read secret {secret_id(ref)}"):
            acls = self._client(None).acls
            present = acls.get(ref)
            users = set(present.read.users or ()) if present.read else set()
            project_access = present.read.project_access if present.read else True
            acls.create(ref, users=sorted(users | {user_id}), project_access=project_access).submit()

    def revoke(self, ref: str, user_id: str) -> None:
        """Let a user no longer read a secret; that it or the user's right is gone already is fine."""
        try:
            with translated("Barbican", f"keep user {user_id} from reading secret {secret_id(ref)}"):
                acls = self._client(None).acls
                present = acls.get(ref)
                users = set(present.read.users or ()) if present.read else set()
                if user_id in users:
                    project_access = present.read.project_access
                    acls.create(ref, users=sorted(users - {user_id}), project_access=project_access).submit()
        except errors.NotFound:
            return

    def reference(self, secret: str) -> str:
        """The reference of a secret of which another service told us only the id."""
        with translated("Barbican", "find its endpoint"):
            endpoint = self._keystone.session().get_endpoint(
                service_type="key-manager",
                interface=self._keystone.interface,
                region_name=self._keystone.region_name,
                version=1,
            )
        if not endpoint:
            raise errors.ConfigurationError("Barbican: the catalog has no endpoint of type key-manager")
        return f"{str(endpoint).rstrip('/')}/secrets/{secret_id(secret)}"

    def _client(self, project_id: str | None) -> Any:
        with self._lock:
            if project_id not in self._clients:
                # The constructor asks Barbican for its versions; that is why it is not done in __init__.
                self._clients[project_id] = barbican_client.Client(
                    session=self._keystone.session(project_id),
                    interface=self._keystone.interface,
                    region_name=self._keystone.region_name,
                    logger=_SILENT,
                )
            return self._clients[project_id]


def _remove(orders: Any, order_ref: str) -> None:
    """Remove an order; that it is gone already is fine."""
    try:
        with translated("Barbican", f"remove order {order_ref}"):
            orders.delete(order_ref)
    except errors.NotFound:
        return


def secret_id(ref: str) -> str:
    """The last part of a reference: the secret's uuid.

    :raises sv2m.errors.NotFound: there can be no such secret.
    """
    name = ref.rstrip("/").rsplit("/", 1)[-1]
    try:
        return str(uuid.UUID(name))
    except ValueError:
        raise errors.NotFound(f"Barbican: {name[:64]} is not the id of a secret") from None
