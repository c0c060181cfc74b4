# SPDX-License-Identifier: Apache-2.0
"""RPC client of KM.

Version history: 1.0 first version; 1.1 forget takes the number of disks; 1.2 copy_eiks;
1.3 withdraw.
"""

from __future__ import annotations

from typing import Any

import oslo_messaging

from sv2m import rpc

#: Seconds that Barbican and Glance may take beside Cinder. Whoever calls must wait for longer than the work can last:
#: he removes what an import has made, and must not do so while it is still being made.
MARGIN = 300.0


class Client:
    """Typed calls; the answers are described at :class:`sv2m.km.server.Endpoint`.

    :param timeout: seconds to wait for an answer.
    :param volume_timeout: seconds that Cinder may take to make or delete a volume: ``[km] volume_timeout``.
    """

    VERSION = "1.3"

    def __init__(
        self,
        transport: oslo_messaging.Transport,
        timeout: float | None = None,
        volume_timeout: float = 300,
        broker: rpc.Broker | None = None,
    ) -> None:
        def client(timeout: float | None) -> rpc.Caller:
            return rpc.client(
                transport, rpc.TOPIC_KM, self.VERSION, timeout=timeout, silence=rpc.SILENCE, broker=broker
            )

        self._client = client(timeout)
        self._slow = client(volume_timeout + MARGIN)

    def make_vmk(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        """Have Barbican make a VMK."""
        return self._call(context, "make_vmk", migration_id=migration_id)

    def find_eiks(
        self, context: dict[str, Any], volume_ids: list[str], token: str | None, project_id: str
    ) -> dict[str, Any]:
        """The keys of encrypted volumes."""
        return self._call(context, "find_eiks", volume_ids=volume_ids, token=token, project_id=project_id)

    def copy_eiks(self, context: dict[str, Any], migration_id: str, secrets: dict[str, str]) -> dict[str, Any]:
        """Copies of the keys of encrypted volumes, for a migration of their server."""
        return self._call(context, "copy_eiks", migration_id=migration_id, secrets=secrets)

    def make_ekb(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        """A fresh key pair to which A wraps the VM's keys."""
        return self._call(context, "make_ekb", migration_id=migration_id)

    def wrap(  # noqa: PLR0917  (an RPC method has the arguments that it has)
        self,
        context: dict[str, Any],
        migration_id: str,
        vmk_ref: str,
        eik_refs: list[str],
        recipient_b64: str,
        context_digest_b64: str,
    ) -> dict[str, Any]:
        """Wrap VMK and EIKs, read from their copies, to B's ekB."""
        return self._call(
            context,
            "wrap",
            migration_id=migration_id,
            vmk_ref=vmk_ref,
            eik_refs=eik_refs,
            recipient_b64=recipient_b64,
            context_digest_b64=context_digest_b64,
        )

    def unwrap(
        self,
        context: dict[str, Any],
        migration_id: str,
        ekb_ref: str,
        keys: list[dict[str, Any]],
        context_digest_b64: str,
    ) -> dict[str, Any]:
        """Unwrap an Envelope's keys into Barbican."""
        return self._call(
            context,
            "unwrap",
            migration_id=migration_id,
            ekb_ref=ekb_ref,
            keys=keys,
            context_digest_b64=context_digest_b64,
        )

    def seal_signature(self, context: dict[str, Any], vmk_ref: str, signature_b64: str) -> dict[str, Any]:
        """Encrypt the trailer's signature under VMK."""
        return self._call(context, "seal_signature", vmk_ref=vmk_ref, signature_b64=signature_b64)

    def open_signature(self, context: dict[str, Any], vmk_ref: str, sealed_b64: str) -> dict[str, Any]:
        """Decrypt the trailer's signature."""
        return self._call(context, "open_signature", vmk_ref=vmk_ref, sealed_b64=sealed_b64)

    def grant(self, context: dict[str, Any], refs: list[str], user_id: str) -> None:
        """Let one more user read secrets."""
        self._client.call(context, "grant", refs=refs, user_id=user_id)

    def withdraw(self, context: dict[str, Any], refs: list[str], user_id: str) -> None:
        """Let a user no longer read secrets."""
        self._client.call(context, "withdraw", refs=refs, user_id=user_id)

    def revoke(self, context: dict[str, Any], grant: dict[str, Any]) -> dict[str, Any]:
        """Take SV2M's user off a secret's access list, as far as Barbican lets it."""
        return self._call(context, "revoke", grant=grant)

    def destroy(self, context: dict[str, Any], refs: list[str]) -> dict[str, Any]:
        """Delete secrets."""
        return self._call(context, "destroy", refs=refs)

    def forget(self, context: dict[str, Any], migration_id: str, disks: int) -> dict[str, Any]:
        """Delete all of a migration's secrets, by name; each disk may have one."""
        return self._call(context, "forget", migration_id=migration_id, disks=disks)

    def import_volume(
        self,
        context: dict[str, Any],
        migration_id: str,
        *,
        project_id: str,
        name: str,
        size_gb: int,
        eik_ref: str | None,
        cipher: str,
        key_size: int,
        boot: bool,
        volume_type: str | None = None,
    ) -> dict[str, Any]:
        """Make a volume at B, encrypted with the VM's own EIK, or plain."""
        answer: dict[str, Any] = self._slow.call(
            context,
            "import_volume",
            migration_id=migration_id,
            project_id=project_id,
            name=name,
            size_gb=size_gb,
            eik_ref=eik_ref,
            cipher=cipher,
            key_size=key_size,
            boot=boot,
            volume_type=volume_type,
        )
        return answer

    def check_volume_type(
        self, context: dict[str, Any], cipher: str, key_size: int, volume_type: str | None = None
    ) -> None:
        """Whether a volume could be imported that is encrypted so.

        :raises sv2m.errors.NoRoom: this cloud has no such volume type.
        """
        self._call(context, "check_volume_type", cipher=cipher, key_size=key_size, volume_type=volume_type)

    def remove_imported(
        self, context: dict[str, Any], migration_id: str, project_id: str | None = None
    ) -> None:
        """Remove what import_volume made."""
        self._slow.call(context, "remove_imported", migration_id=migration_id, project_id=project_id)

    def _call(self, context: dict[str, Any], method: str, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.call(context, method, **kwargs)
        return answer
