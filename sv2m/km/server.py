# SPDX-License-Identifier: Apache-2.0
"""KM's RPC endpoint. What travels is references, public keys, and what is wrapped or sealed already."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_log import log

from sv2m import errors
from sv2m.km import ports
from sv2m.km.manager import KeyManager
from sv2m.km.volumes import VolumeImporter
from sv2m.protocol.needs import MAX_DISKS
from sv2m.protocol.plan import WrappedKey

LOG = log.getLogger(__name__)


class Endpoint:
    """Topic ``sv2m-km``."""

    target = oslo_messaging.Target(version="1.3")

    def __init__(
        self, manager: KeyManager, importer: VolumeImporter, keys: ports.KeyStore, user_id: Callable[[], str]
    ) -> None:
        self._manager = manager
        self._importer = importer
        self._keys = keys
        self._user_id = user_id

    @oslo_messaging.expose
    def make_vmk(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        """``{"ref"}`` of a new VMK, made by Barbican."""
        return {"ref": self._manager.make_vmk(migration_id)}

    @oslo_messaging.expose
    def find_eiks(
        self, context: dict[str, Any], volume_ids: list[str], token: str | None, project_id: str
    ) -> dict[str, Any]:
        """``{"eiks": [{"volume_id", "ref", "cipher", "key_size"}]}`` of those volumes that are encrypted."""
        found = self._manager.find_eiks(volume_ids)
        return {
            "eiks": [
                {"volume_id": eik.volume_id, "ref": eik.ref, "cipher": eik.cipher, "key_size": eik.key_size}
                for eik in found
            ]
        }

    @oslo_messaging.expose
    def copy_eiks(self, context: dict[str, Any], migration_id: str, secrets: dict[str, str]) -> dict[str, Any]:
        """``{"copies": [{"volume_id", "ref", "copy_ref"}]}``; see :meth:`KeyManager.copy_eiks`."""
        return {
            "copies": [
                {"volume_id": eik.volume_id, "ref": eik.ref, "copy_ref": copy_ref}
                for eik, copy_ref in self._manager.copy_eiks(migration_id, secrets)
            ]
        }

    @oslo_messaging.expose
    def make_ekb(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        """``{"ref", "public_key_b64"}`` of a key pair for this migration alone."""
        ref, public_key = self._manager.make_ekb(migration_id)
        return {"ref": ref, "public_key_b64": _b64(public_key)}

    @oslo_messaging.expose
    def wrap(
        self,
        context: dict[str, Any],
        *,
        migration_id: str,
        vmk_ref: str,
        eik_refs: list[str],
        recipient_b64: str,
        context_digest_b64: str,
    ) -> dict[str, Any]:
        """``{"keys": [{"name", "kind", "size", "cipher_value_b64", "commitment_b64"}]}``, VMK first."""
        wrapped = self._manager.wrap(
            migration_id,
            vmk_ref,
            eik_refs,
            base64.b64decode(recipient_b64),
            base64.b64decode(context_digest_b64),
        )
        return {
            "keys": [
                {
                    "name": key.name,
                    "kind": key.kind,
                    "size": key.size,
                    "cipher_value_b64": _b64(key.cipher_value),
                    "commitment_b64": _b64(key.commitment),
                }
                for key in wrapped
            ]
        }

    @oslo_messaging.expose
    def unwrap(
        self,
        context: dict[str, Any],
        migration_id: str,
        ekb_ref: str,
        keys: list[dict[str, Any]],
        context_digest_b64: str,
    ) -> dict[str, Any]:
        """``{"vmk_ref", "eik_refs"}`` of what was unwrapped into Barbican."""
        wrapped = [
            WrappedKey(
                name=key["name"],
                kind=key["kind"],
                cipher_value=base64.b64decode(key["cipher_value_b64"]),
                commitment=base64.b64decode(key["commitment_b64"]),
                size=key["size"],
            )
            for key in keys
        ]
        vmk_ref, eik_refs = self._manager.unwrap(
            migration_id, ekb_ref, wrapped, base64.b64decode(context_digest_b64)
        )
        return {"vmk_ref": vmk_ref, "eik_refs": eik_refs}

    @oslo_messaging.expose
    def seal_signature(self, context: dict[str, Any], vmk_ref: str, signature_b64: str) -> dict[str, Any]:
        """``{"sealed_b64"}``: the trailer's signature under VMK."""
        return {"sealed_b64": _b64(self._manager.seal_signature(vmk_ref, base64.b64decode(signature_b64)))}

    @oslo_messaging.expose
    def open_signature(self, context: dict[str, Any], vmk_ref: str, sealed_b64: str) -> dict[str, Any]:
        """``{"signature_b64"}``."""
        return {"signature_b64": _b64(self._manager.open_signature(vmk_ref, base64.b64decode(sealed_b64)))}

    @oslo_messaging.expose
    def grant(self, context: dict[str, Any], refs: list[str], user_id: str) -> None:
        """Let one more user (an agent's) read secrets of SV2M's own project."""
        for ref in refs:
            self._keys.grant(ref, user_id)

    @oslo_messaging.expose
    def withdraw(self, context: dict[str, Any], refs: list[str], user_id: str) -> None:
        """Take back what :meth:`grant` gave. Repeating does no harm, nor that a secret is gone."""
        for ref in refs:
            self._keys.revoke(ref, user_id)

    @oslo_messaging.expose
    def revoke(self, context: dict[str, Any], grant: dict[str, Any]) -> dict[str, Any]:
        """``{"revoked"}``: take SV2M's user off a secret's access list, as far as Barbican lets it.

        For what the API, killed, did not take back. Barbican's default rules let only the owning project change the
        list; then an entry stays until the owner removes it. That is logged, and keeps nothing else waiting.

        :param grant: ``{"secret_ref", "added"}`` as the API recorded it; one that SV2M did not add stays.
        """
        if not grant.get("added"):
            return {"revoked": False}
        user_id = self._user_id()
        try:
            self._keys.revoke(grant["secret_ref"], user_id)
        except errors.SV2MError as error:
            LOG.warning(
                "User %s may be on the access list of %s still; its owner can remove it with: "
                "openstack acl user remove --user %s --operation-type read %s (%s)",
                user_id,
                grant["secret_ref"],
                user_id,
                grant["secret_ref"],
                error,
            )
            return {"revoked": False}
        return {"revoked": True}

    @oslo_messaging.expose
    def destroy(self, context: dict[str, Any], refs: list[str]) -> dict[str, Any]:
        """``{"left"}``: those of the references that could not be deleted. Repeating does no harm."""
        return {"left": self._manager.destroy(refs)}

    @oslo_messaging.expose
    def forget(self, context: dict[str, Any], migration_id: str, disks: int = MAX_DISKS) -> dict[str, Any]:
        """Delete all of a migration's secrets by name; ``{"left"}`` as :meth:`destroy`.

        :param disks: how many the server has, at most.
        """
        return {"left": self._manager.forget(migration_id, disks)}

    @oslo_messaging.expose
    def import_volume(
        self,
        context: dict[str, Any],
        *,
        migration_id: str,
        project_id: str,
        name: str,
        size_gb: int,
        eik_ref: str | None,
        cipher: str,
        key_size: int,
        boot: bool,
        volume_type: str | None = None,
    ) -> dict[str, Any]:
        """``{"volume_id"}`` of a volume whose key is the EIK; see :meth:`VolumeImporter.make`."""
        volume_id = self._importer.make(
            migration_id,
            project_id=project_id,
            name=name,
            size_gb=size_gb,
            eik_ref=eik_ref,
            cipher=cipher,
            key_size=key_size,
            boot=boot,
            volume_type=volume_type,
        )
        return {"volume_id": volume_id}

    @oslo_messaging.expose
    def check_volume_type(
        self, context: dict[str, Any], cipher: str, key_size: int, volume_type: str | None = None
    ) -> dict[str, Any]:
        """``{"name"}`` of the volume type that :meth:`import_volume` would take."""
        return {"name": self._importer.type_for(cipher, key_size, volume_type)}

    @oslo_messaging.expose
    def remove_imported(
        self, context: dict[str, Any], migration_id: str, project_id: str | None = None
    ) -> None:
        """Remove volume, image and transit key of a migration that is undone. Repeating does no harm."""
        self._importer.remove(migration_id, project_id)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
