# SPDX-License-Identifier: Apache-2.0
"""A Barbican, a Cinder and a Glance in memory, with the habits of the real ones that matter here."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sv2m import errors

#: SV2M's own project.
OWN = "own"
URL = "http://barbican.test/v1/secrets/"


@dataclass
class Secret:
    name: str
    payload: bytes
    project: str
    secret_type: str
    mode: str | None = None


class MemoryKeys:
    """Barbican: a secret is read and listed only by the project that owns it; read also by whom its list names."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.handed_out: list[bytearray] = []
        self.stuck: set[str] = set()
        #: Other projects' secrets that SV2M's user is let read.
        self.readable: set[str] = set()
        #: Who is on which of SV2M's own secrets' lists.
        self.readers: dict[str, set[str]] = {}
        self._numbers = itertools.count(1)

    def make_key(self, name: str, bits: int = 256) -> str:
        return self.store(os.urandom(bits // 8), name=name, secret_type="symmetric")

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
        ref = f"{URL}{next(self._numbers)}"
        self.secrets[ref] = Secret(name, bytes(payload), project_id or OWN, secret_type, mode)
        return ref

    def read(self, ref: str, *, project_id: str | None = None) -> bytearray:
        secret = self.secrets.get(ref)
        if secret is None:
            raise errors.NotFound(f"no secret {ref}")
        if secret.project != (project_id or OWN) and ref not in self.readable:
            raise errors.KeyManagerError(f"may not read {ref}")
        buffer = bytearray(secret.payload)
        self.handed_out.append(buffer)
        return buffer

    def grant(self, ref: str, user_id: str) -> None:
        if ref not in self.secrets:
            raise errors.NotFound(f"no secret {ref}")
        self.readers.setdefault(ref, set()).add(user_id)

    def revoke(self, ref: str, user_id: str) -> None:
        if ref in self.secrets and self.secrets[ref].project != OWN:
            raise errors.KeyManagerError("403")
        self.readers.get(ref, set()).discard(user_id)

    def delete(self, ref: str, *, project_id: str | None = None) -> None:
        if ref in self.stuck:
            raise errors.KeyManagerError(f"cannot delete {ref}")
        self.secrets.pop(ref, None)

    def find(self, name: str, *, project_id: str | None = None, mode: str | None = None) -> list[str]:
        wanted = (name, project_id or OWN)
        found = {ref: one for ref, one in self.secrets.items() if (one.name, one.project) == wanted}
        return [ref for ref, one in found.items() if mode in (None, one.mode)]

    def reference(self, secret: str) -> str:
        return URL + secret.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Encryption:
    provider: str = "luks"
    cipher: str = "aes-xts-plain64"
    key_size: int = 256
    control_location: str = "front-end"
    key_id: str = ""


@dataclass(frozen=True)
class Volume:
    id: str
    name: str
    bootable: bool = False
    encrypted: bool = False
    project_id: str = ""
    placed: bool = True


@dataclass(frozen=True)
class VolumeType:
    name: str
    encryption: Encryption | None


@dataclass
class MemoryStorage:
    """Cinder and Glance: a volume made from an image that names a key gets a clone of that name too."""

    keys: MemoryKeys
    volume_types: list[VolumeType] = field(
        default_factory=lambda: [
            VolumeType("plain", None),
            VolumeType("backend", Encryption(control_location="back-end")),
            VolumeType("aes512", Encryption(key_size=512)),
            VolumeType("luks", Encryption()),
        ]
    )
    #: A Cinder that ignores the image's key and makes one of its own.
    clones: bool = True
    fails: str = ""
    #: What happens just before a deletion.
    before_deletion: Callable[[], None] = lambda: None
    volumes: dict[str, Volume] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    encryptions: dict[str, Encryption] = field(default_factory=dict)
    images: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)

    def encryption(self, volume_id: str) -> Encryption | None:
        return self.encryptions.get(volume_id)

    def types(self) -> list[VolumeType]:
        return self.volume_types

    def create(
        self,
        project_id: str,
        name: str,
        size_gb: int,
        *,
        volume_type: str | None = None,
        image_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Volume:
        volume = Volume(f"v{len(self.marks) + 1}", name, project_id=project_id)
        how = next((one.encryption for one in self.volume_types if one.name == volume_type), None)
        if how is not None:
            payload, key_name = os.urandom(32), "own"
            if image_id is not None and self.clones:
                source = self.keys.secrets[URL + self.images[image_id][1]["cinder_encryption_key_id"]]
                payload, key_name = source.payload, source.name
            ref = self.keys.store(payload, name=key_name, secret_type="symmetric", project_id=project_id)
            self.encryptions[volume.id] = replace(how, key_id=ref.removeprefix(URL))
            volume = replace(volume, encrypted=True)
        if self.fails == "create":
            # As the real one, which looks for the key first, and for the quota then.
            self.encryptions.pop(volume.id, None)
            raise errors.HostError("Cinder: over quota")
        self.volumes[volume.id] = volume
        self.marks[volume.id] = (metadata or {})["sv2m_migration"]
        return volume

    def wait_for(self, volume_id: str, status: str, deadline: float) -> Volume:
        if self.fails == "place":
            # It tried each host that it has.
            self.volumes[volume_id] = replace(self.volumes[volume_id], placed=False)
        if self.fails in ("wait", "place"):
            raise errors.HostError("Cinder: volume is error")
        return self.volumes[volume_id]

    def set_bootable(self, project_id: str, volume_id: str) -> None:
        self.volumes[volume_id] = replace(self.volumes[volume_id], bootable=True)

    def find(self, migration_id: str) -> list[Volume]:
        return [one for one in self.volumes.values() if self.marks[one.id] == migration_id]

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        own = [one for one in self.find(migration_id) if one.project_id == project_id]
        self.marks.update({one.id: f"arrived-{migration_id}" for one in own})

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        return [one.id for one in self.find(f"arrived-{migration_id}")]

    def delete(self, volume_id: str, timeout: float) -> None:
        self.before_deletion()
        volume = self.volumes.pop(volume_id, None)
        how = self.encryptions.pop(volume_id, None)
        if how is not None and volume is not None and volume.placed:
            self.keys.delete(URL + how.key_id)


@dataclass
class MemoryImages:
    """Glance, of the same storage."""

    storage: MemoryStorage

    def create_blank(self, project_id: str, name: str, properties: Mapping[str, str] | None = None) -> str:
        if self.storage.fails == "image":
            raise errors.HostError("Glance: no")
        image_id = f"i{len(self.storage.images) + 1}"
        self.storage.images[image_id] = (name, dict(properties or {}))
        return image_id

    def find(self, name: str, *, project_id: str | None = None) -> list[str]:
        return [image_id for image_id, (own, _) in self.storage.images.items() if own == name]

    def delete(self, image_id: str, *, project_id: str | None = None) -> None:
        self.storage.images.pop(image_id, None)
