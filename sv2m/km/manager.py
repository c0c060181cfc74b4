# SPDX-License-Identifier: Apache-2.0
"""The keys of a migration: VMK, EIKs, and the ephemeral key ekB to which they are wrapped.

A key is in this process only between reading it from Barbican and the end of the call that needed it. Errors
name the secret's reference and what went wrong, never anything about its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oslo_log import log

from sv2m import errors
from sv2m.km import ports
from sv2m.km.buffers import wiped
from sv2m.km.pool import Pool
from sv2m.protocol import encryption, luks, plan, segments
from sv2m.protocol.needs import MAX_DISKS

LOG = log.getLogger(__name__)


@dataclass(frozen=True)
class Eik:
    """A key that opens a volume."""

    volume_id: str
    ref: str
    cipher: str
    key_size: int


class KeyManager:
    """Makes, wraps, unwraps and destroys the keys of migrations."""

    def __init__(self, keys: ports.KeyStore, volumes: ports.Volumes, pool: Pool) -> None:
        self._keys = keys
        self._volumes = volumes
        self._pool = pool

    def make_vmk(self, migration_id: str) -> str:
        """Have Barbican make the VMK of one attempt; its reference."""
        return self._keys.make_key(secret_name(migration_id, plan.VMK_NAME), plan.VMK_BITS)

    def find_eiks(self, volume_ids: Sequence[str]) -> list[Eik]:
        """The keys of those of the volumes that are encrypted, in the volumes' order.

        :raises sv2m.errors.ServerNotMovable: a volume is encrypted in a way that no key of ours opens.
        """
        found = []
        for volume_id in volume_ids:
            how = self._volumes.encryption(volume_id)
            if how is None:
                continue
            luks.check_opened_by_qemu(f"volume {volume_id}", how.provider, how.control_location)
            found.append(Eik(volume_id, self._keys.reference(how.key_id), how.cipher, how.key_size))
        return found

    def copy_eiks(self, migration_id: str, secrets: Mapping[str, str]) -> list[tuple[Eik, str]]:
        """Copy the keys of volumes into SV2M's own project, so that they can be read when their owner is not asked.

        All or nothing, as :meth:`unwrap`. What is read is what Cinder says opens the volume, and only if it is what the
        volume's owner named as well: SV2M's user may read others' keys, and neither word alone makes it copy one.

        :param secrets: volume id -> the key that the volume's owner lets SV2M's user read.
        :returns: the keys, each with the reference of its copy.
        :raises sv2m.errors.ServerNotMovable: a volume's key is another one, or is none that moves.
        :raises sv2m.errors.KeyManagerError: SV2M's user may not read a key, or Barbican failed.
        """
        found = self.find_eiks(list(secrets))
        named = {volume_id: self._keys.reference(ref) for volume_id, ref in secrets.items()}
        if {eik.volume_id: eik.ref for eik in found} != named:
            raise errors.ServerNotMovable(
                f"the keys of volumes {', '.join(named)} are not those that SV2M was let read",
                remedy="Wait until nobody changes or retypes these volumes, and try again.",
            )
        copies: list[str] = []
        try:
            for number, eik in enumerate(found):
                with wiped(self._keys.read(eik.ref)) as key:
                    copies.append(self._store(migration_id, plan.eik_name(number), key))
        except BaseException:
            self.destroy(copies)
            raise
        return list(zip(found, copies, strict=True))

    def make_ekb(self, migration_id: str) -> tuple[str, bytes]:
        """A key pair for one migration: reference of its private half, and SubjectPublicKeyInfo (DER)."""
        pair = self._pool.take()
        with wiped(pair.private_key) as private_key:
            ref = self._keys.store(
                private_key,
                name=secret_name(migration_id, "ekB"),
                secret_type="private",  # noqa: S106  (Barbican's name for the kind)
                algorithm="rsa",
            )
        return ref, pair.public_key

    def wrap(
        self,
        migration_id: str,
        vmk_ref: str,
        eik_refs: Sequence[str],
        recipient: bytes,
        context_digest: bytes,
    ) -> list[plan.WrappedKey]:
        """Wrap VMK and EIKs to B's ekB, each with its commitment.

        :param recipient: ekB, SubjectPublicKeyInfo DER.
        """
        names = [(plan.VMK_NAME, plan.VMK_KIND, vmk_ref)]
        names += [(plan.eik_name(number), plan.EIK_KIND, ref) for number, ref in enumerate(eik_refs)]
        wrapped = []
        for name, kind, ref in names:
            with wiped(self._keys.read(ref)) as key:
                wrapped.append(
                    plan.WrappedKey(
                        name=name,
                        kind=kind,
                        cipher_value=encryption.wrap_key(bytes(key), name, recipient, context_digest),
                        commitment=encryption.commitment(name, migration_id, bytes(key)),
                        size=len(key) * 8,
                    )
                )
        return wrapped

    def unwrap(
        self, migration_id: str, ekb_ref: str, keys: Iterable[plan.WrappedKey], context_digest: bytes
    ) -> tuple[str, list[str]]:
        """Unwrap what came in an Envelope straight into Barbican; the references of VMK and of the EIKs.

        All or nothing: when one key is not what A committed to, none stays.

        :raises sv2m.errors.IntegrityError: a key does not open, or is not the committed one.
        """
        self._check_plan(keys := list(keys))
        stored: list[str] = []
        try:
            with wiped(self._keys.read(ekb_ref)) as private_key:
                for wrapped in keys:
                    opened = encryption.unwrap_key(wrapped.cipher_value, bytes(private_key), context_digest)
                    with wiped(bytearray(opened)) as key:
                        self._check_key(migration_id, wrapped, key)
                        stored.append(self._store(migration_id, wrapped.name, key))
        except BaseException:
            self.destroy(stored)
            raise
        return stored[0], stored[1:]

    def seal_signature(self, vmk_ref: str, signature: bytes) -> bytes:
        """Encrypt the trailer's signature under VMK; see :func:`sv2m.protocol.segments.seal_signature`."""
        with wiped(self._keys.read(vmk_ref)) as vmk:
            return segments.seal_signature(vmk, signature)

    def open_signature(self, vmk_ref: str, sealed: bytes) -> bytes:
        """Decrypt the trailer's signature.

        :raises sv2m.errors.IntegrityError: it was not sealed under this VMK, or was changed.
        """
        with wiped(self._keys.read(vmk_ref)) as vmk:
            return segments.open_signature(vmk, sealed)

    def destroy(self, refs: Iterable[str]) -> list[str]:
        """Delete keys; those that are gone already are fine.

        :returns: those that could not be deleted.
        """
        left = []
        for ref in refs:
            try:
                self._keys.delete(ref)
            except errors.SV2MError as error:
                LOG.error("Secret %s could not be deleted: %s", ref, error)
                left.append(ref)
        return left

    def forget(self, migration_id: str, disks: int = MAX_DISKS) -> list[str]:
        """Delete every secret of SV2M's own project that was stored for a migration, known by its name.

        For what a crash left behind before its reference was written down. Each name is looked for: that EIK-0 is gone
        says nothing of EIK-1, whose deletion may have failed, or which Barbican may have stored later.

        :param disks: of the server; it has no more EIKs than these.
        :returns: those that could not be deleted.
        """
        names = [plan.VMK_NAME, "ekB", *(plan.eik_name(number) for number in range(disks))]
        return self.destroy([ref for name in names for ref in self._keys.find(secret_name(migration_id, name))])

    def _store(self, migration_id: str, name: str, key: bytearray) -> str:
        return self._keys.store(
            key,
            name=secret_name(migration_id, name),
            secret_type="symmetric",  # noqa: S106  (Barbican's name for the kind)
            algorithm="aes",
            bit_length=len(key) * 8,
        )

    @staticmethod
    def _check_plan(keys: Sequence[plan.WrappedKey]) -> None:
        expected = [plan.VMK_NAME, *(plan.eik_name(number) for number in range(len(keys) - 1))]
        if [key.name for key in keys] != expected:
            raise errors.IntegrityError("the Envelope's keys are not VMK, EIK-0, EIK-1 and so on")

    @staticmethod
    def _check_key(migration_id: str, wrapped: plan.WrappedKey, key: bytearray) -> None:
        # OAEP says that somebody wrapped it to us, the commitment that it is the one which A signed.
        if len(key) * 8 != wrapped.size:
            raise errors.IntegrityError(f"{wrapped.name} is not of the size that the Envelope says")
        encryption.check_commitment(wrapped.name, migration_id, bytes(key), wrapped.commitment)


def secret_name(migration_id: str, name: str) -> str:
    """Name of a migration's secret in SV2M's own project."""
    return f"sv2m-{migration_id}-{name}"
