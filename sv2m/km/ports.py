# SPDX-License-Identifier: Apache-2.0
"""What KM needs from outside. :mod:`sv2m.clients` implements it; errors are those of :mod:`sv2m.errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class KeyStore(Protocol):
    """Barbican. A project of None is SV2M's own; references are Barbican's URLs."""

    def make_key(self, name: str, bits: int = 256) -> str:
        """Have the key manager make an AES key; its reference."""
        ...

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
        """Store bytes; their reference."""
        ...

    def read(self, ref: str, *, project_id: str | None = None) -> bytearray:
        """The bytes, read as a member of a project; to be wiped by the caller."""
        ...

    def delete(self, ref: str, *, project_id: str | None = None) -> None:
        """Delete; no error when it is gone already."""
        ...

    def find(self, name: str, *, project_id: str | None = None, mode: str | None = None) -> list[str]:
        """References of what one project stored under exactly this name, and, unless it is None, with this mode."""
        ...

    def grant(self, ref: str, user_id: str) -> None:
        """Let a user read it."""
        ...

    def revoke(self, ref: str, user_id: str) -> None:
        """Let a user no longer read it."""
        ...

    def reference(self, secret: str) -> str:
        """The reference of a secret of which only the id is known."""
        ...


class Encryption(Protocol):
    """How a volume, or the volumes of a type, are encrypted; sizes in bits."""

    @property
    def cipher(self) -> str:
        """E.g. aes-xts-plain64."""
        ...

    @property
    def key_size(self) -> int:
        """Bits."""
        ...

    @property
    def provider(self) -> str:
        """E.g. luks."""
        ...

    @property
    def control_location(self) -> str:
        """front-end: by the compute host; back-end: by the storage, unseen by it."""
        ...

    @property
    def key_id(self) -> str:
        """Barbican's id of the key; empty for a type."""
        ...


class Volume(Protocol):
    """A volume."""

    @property
    def id(self) -> str:
        """Cinder's id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def project_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def encrypted(self) -> bool:
        """Whether Cinder encrypts it."""
        ...

    @property
    def bootable(self) -> bool:
        """Whether a server may boot from it."""
        ...

    @property
    def placed(self) -> bool:
        """Whether it has a storage host. Cinder deletes one that has none without its key."""
        ...


class VolumeType(Protocol):
    """A volume type."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def encryption(self) -> Encryption | None:
        """How its volumes are encrypted."""
        ...


class Volumes(Protocol):
    """Cinder."""

    def encryption(self, volume_id: str) -> Encryption | None:
        """How a volume is encrypted and by which key."""
        ...

    def types(self) -> Sequence[VolumeType]:
        """All volume types."""
        ...

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
        """Ask for a volume."""
        ...

    def wait_for(self, volume_id: str, status: str, deadline: float) -> Volume:
        """Wait until it has a status; deadline in seconds."""
        ...

    def set_bootable(self, project_id: str, volume_id: str) -> None:
        """Let a server boot from it."""
        ...

    def find(self, migration_id: str) -> Sequence[Volume]:
        """Volumes that were made for a migration."""
        ...

    def delete(self, volume_id: str, timeout: float) -> None:
        """Delete it with its key, and wait."""
        ...


class Images(Protocol):
    """Glance."""

    def create_blank(self, project_id: str, name: str, properties: Mapping[str, str] | None = None) -> str:
        """Make a small image of zeros; its id."""
        ...

    def find(self, name: str, *, project_id: str | None = None) -> Sequence[str]:
        """Ids of images of exactly this name."""
        ...

    def delete(self, image_id: str, *, project_id: str | None = None) -> None:
        """Delete; no error when it is gone already."""
        ...
