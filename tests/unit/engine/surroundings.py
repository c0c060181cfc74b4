# SPDX-License-Identifier: Apache-2.0
"""What both roles' engines have around them: options, certificates, real signatures, really wrapped keys."""

from __future__ import annotations

import base64
from typing import Any

from oslo_config import cfg

import sv2m.conf
from sv2m import errors
from sv2m.mam.keyring import Keyring
from sv2m.mam.server import Endpoint
from sv2m.protocol import encryption, segments
from tests.protocol import certificates, clouds
from tests.protocol.certificates import Identity

SOURCE, DESTINATION = certificates.identity("cloud-a.sv2m"), certificates.identity("cloud-b.sv2m")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def options(cloud: str) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    sv2m.conf.register(conf)
    conf([], default_config_files=[])
    conf.set_override("cloud_name", cloud)
    conf.set_override("landing_network", "landing", "engine")
    return conf


class Cmm:
    """Believes each of the two clouds under its own name only."""

    def __init__(self, me: Identity) -> None:
        self._me = me

    def certificate(self, context: dict[str, Any]) -> dict[str, Any]:
        return {"name": self._me.name, "chain_b64": [b64(part) for part in self._me.chain]}

    def identity(self, context: dict[str, Any]) -> dict[str, Any]:
        return {**self.certificate(context), "private_key_ref": "own"}

    def validate(self, context: dict[str, Any], chain_b64: list[str], name: str, ca_pem: str) -> dict[str, Any]:
        if chain_b64 != [b64(part) for part in certificates.identity(name).chain]:
            raise errors.InvalidCertificate(f"this is not the certificate of {name}")
        return {"not_after": "2046-01-01"}

    def first_to_end(self, context: dict[str, Any], chain_b64: list[str], ca_pem: str) -> dict[str, Any]:
        return {"not_after": "2046-01-01T00:00:00+00:00", "serial": "1", "subject": "CN=anybody"}

    def check_keys(self, context: dict[str, Any], chain_b64: list[str], ca_pem: str) -> None:
        """No key was stolen."""

    def revocation_lists(self, context: dict[str, Any]) -> dict[str, Any]:
        return {"crls_b64": [b64(b"crl")]}


class _Private:
    def __init__(self, me: Identity) -> None:
        self._me = me

    def read(self, ref: str) -> bytearray:
        return bytearray(self._me.key)


def mam(me: Identity) -> Endpoint:
    return Endpoint(Keyring(Cmm(me), _Private(me), 0))


class Km:
    """Keys by reference; what is wrapped is wrapped really, under the keys of :mod:`tests.protocol.clouds`."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {"eik": clouds.EIK}
        #: Cinder's word: which key opens a volume.
        self.of = {"volume": "eik"}
        self.revoked: list[dict[str, Any]] = []
        #: Who else reads which key.
        self.readers: dict[str, set[str]] = {}
        #: In which a volume can be made.
        self.ciphers = {("aes-xts-plain64", 256)}
        self.volumes: dict[str, str] = {}
        #: What was asked for.
        self.volume_types: dict[str, str | None] = {}
        #: GiB of the volumes that were asked for.
        self.sizes: dict[str, int] = {}

    def _store(self, ref: str, key: bytes) -> str:
        self.stored[ref] = key
        return ref

    def make_vmk(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        return {"ref": self._store(f"vmk-{migration_id}", clouds.VMK)}

    def find_eiks(self, context: Any, volume_ids: list[str], token: str | None, project_id: str) -> dict[str, Any]:
        return {"eiks": [{"volume_id": one, "ref": self.of[one]} for one in volume_ids if one in self.of]}

    def copy_eiks(self, context: Any, migration_id: str, secrets: dict[str, str]) -> dict[str, Any]:
        copies = []
        for number, (volume, ref) in enumerate(secrets.items()):
            copy = self._store(f"EIK-{number}-{migration_id}", self.stored[ref])
            copies.append({"volume_id": volume, "ref": ref, "copy_ref": copy})
        return {"copies": copies}

    def make_ekb(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        public, private = clouds.ephemeral_key()
        return {"ref": self._store(f"ekb-{migration_id}", private), "public_key_b64": b64(public)}

    def wrap(
        self, context: Any, migration_id: str, vmk_ref: str, eik_refs: list[str], recipient_b64: str, label_b64: str
    ) -> dict[str, Any]:
        recipient, label = base64.b64decode(recipient_b64), base64.b64decode(label_b64)
        named = [("VMK", "vmk", vmk_ref), *((f"EIK-{n}", "luks-passphrase", ref) for n, ref in enumerate(eik_refs))]
        keys = []
        for name, kind, ref in named:
            key = self.stored[ref]
            wrapped = encryption.wrap_key(key, name, recipient, label)
            commitment = encryption.commitment(name, migration_id, key)
            sizes = {"name": name, "kind": kind, "size": 256}
            keys.append({**sizes, "cipher_value_b64": b64(wrapped), "commitment_b64": b64(commitment)})
        return {"keys": keys}

    def unwrap(
        self, context: Any, migration_id: str, ekb_ref: str, keys: list[dict[str, Any]], label_b64: str
    ) -> dict[str, Any]:
        private, label = self.stored[ekb_ref], base64.b64decode(label_b64)
        refs = []
        for key in keys:
            value = base64.b64decode(key["cipher_value_b64"])
            opened = encryption.unwrap_key(value, private, label)
            refs.append(self._store(f"{key['name']}-{migration_id}", opened))
        return {"vmk_ref": refs[0], "eik_refs": refs[1:]}

    def seal_signature(self, context: Any, vmk_ref: str, signature_b64: str) -> dict[str, Any]:
        return {"sealed_b64": b64(segments.seal_signature(self.stored[vmk_ref], base64.b64decode(signature_b64)))}

    def open_signature(self, context: Any, vmk_ref: str, sealed_b64: str) -> dict[str, Any]:
        return {"signature_b64": b64(segments.open_signature(self.stored[vmk_ref], base64.b64decode(sealed_b64)))}

    def grant(self, context: Any, refs: list[str], user_id: str) -> None:
        for ref in refs:
            assert ref in self.stored
            self.readers.setdefault(ref, set()).add(user_id)

    def withdraw(self, context: Any, refs: list[str], user_id: str) -> None:
        for ref in refs:
            self.readers.get(ref, set()).discard(user_id)

    def readable(self, user_id: str) -> set[str]:
        """The keys that somebody else reads now."""
        return {ref for ref, users in self.readers.items() if user_id in users and ref in self.stored}

    def destroy(self, context: Any, refs: list[str]) -> dict[str, Any]:
        for ref in refs:
            self.stored.pop(ref, None)
        return {"left": []}

    def forget(self, context: Any, migration_id: str, disks: int) -> dict[str, Any]:
        of_no_disk = [f"EIK-{number}-{migration_id}" for number in range(disks, disks + 10)]
        own = [ref for ref in self.stored if ref.endswith(migration_id)]
        return self.destroy(context, [ref for ref in own if ref not in of_no_disk])

    def revoke(self, context: Any, entry: dict[str, Any]) -> None:
        self.revoked.append(entry)

    def check_volume_type(self, context: Any, cipher: str, key_size: int, volume_type: str | None) -> None:
        if (cipher, key_size) not in self.ciphers:
            raise errors.NoRoom(f"no volume type encrypts with {cipher}")

    def import_volume(self, context: Any, migration_id: str, **wanted: Any) -> dict[str, Any]:
        self.volumes.setdefault(migration_id, f"volume-{migration_id}")
        self.volume_types[migration_id] = wanted["volume_type"]
        self.sizes[migration_id] = wanted["size_gb"]
        return {"volume_id": self.volumes[migration_id]}

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        if migration_id in self.volumes:
            self.volumes[f"arrived-{migration_id}"] = self.volumes.pop(migration_id)

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        name = f"arrived-{migration_id}"
        return [self.volumes[name]] if name in self.volumes else []

    def remove_imported(self, context: Any, migration_id: str, project_id: str) -> dict[str, Any]:
        self.volumes.pop(migration_id, None)
        return {}
