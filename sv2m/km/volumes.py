# SPDX-License-Identifier: Apache-2.0
"""At B, a volume whose key is the VM's own EIK, made by Cinder's and Glance's public APIs alone.

Cinder makes a key for each encrypted volume and takes none from outside, with one exception: for a volume
made from an image that names an encryption key it clones that key. So the EIK is stored as a secret in the
receiving project, a blank image names it, the volume is made from the image, and secret and image are
deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oslo_log import log

from sv2m import errors
from sv2m.km import ports
from sv2m.km.buffers import wiped
from sv2m.protocol import luks

LOG = log.getLogger(__name__)

#: Metadata of a volume that was made for a migration; :meth:`sv2m.km.ports.Volumes.find` looks for it.
MIGRATION_KEY = "sv2m_migration"
#: Barbican's mode of an EIK on its way to Cinder. Nobody reads it; it tells that secret from its clones. These bear its
#: name: the volume's own key, and later those of the owner's backups, images and copies of the volume. But Cinder takes
#: over only name, algorithm and length of a key that it clones.
_TRANSIT_MODE = "cbc"


class VolumeImporter:
    """Makes volumes for arriving servers.

    Everything it makes carries the migration's id, so that it is found again after a crash.
    """

    def __init__(
        self, keys: ports.KeyStore, volumes: ports.Volumes, images: ports.Images, timeout: float
    ) -> None:
        self._keys = keys
        self._volumes = volumes
        self._images = images
        self._timeout = timeout

    def type_for(self, cipher: str, key_size: int, wanted: str | None = None) -> str:
        """The first volume type, or the wanted one, whose volumes a compute host opens by such a key.

        :param key_size: bits.
        :raises sv2m.errors.NoRoom: this cloud has none, or the wanted one is not so.
        """
        types = [one for one in self._volumes.types() if wanted in (None, one.name)]
        for one in types:
            how = one.encryption
            if (
                how is not None
                and luks.opened_by_qemu(how.provider, how.control_location)
                and how.cipher == cipher
                and how.key_size == key_size
            ):
                return one.name
        which = "" if wanted is None else f" of name {wanted}"
        raise errors.NoRoom(
            f"no volume type{which} of this cloud encrypts by LUKS with {cipher}, {key_size} bits, at the front end",
            remedy="Ask the receiving cloud's operators for such a volume type, or for another one in the agreement.",
        )

    def make(
        self,
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
    ) -> str:
        """Make a volume in a project, and wait until it can be used. Repeated, it goes on where it stopped.

        :param eik_ref: the key that shall open it; None makes a plain volume.
        :param cipher: of the volume at A, e.g. ``aes-xts-plain64``; empty for a plain one.
        :param key_size: bits.
        :param volume_type: its type here; None takes the first that encrypts as A does, or the default one.
            One that does not encrypt as A does is not taken: Nova could not open the disk.
        :returns: the volume's id.
        :raises sv2m.errors.NoRoom: no volume type of this cloud encrypts as A's does.
        :raises sv2m.errors.HostError: Cinder, Glance or Barbican failed; :meth:`remove` undoes what was done.
        """
        present = [one for one in self._made(migration_id, project_id) if one.name == name]
        image_id = None
        if present:
            volume_id = present[0].id
        else:
            if eik_ref is not None:
                volume_type = self.type_for(cipher, key_size, volume_type)
                image_id = self._image_of(migration_id, project_id, eik_ref)
            with self._no_clone_left(migration_id, project_id):
                volume_id = self._volumes.create(
                    project_id,
                    name,
                    size_gb,
                    volume_type=volume_type,
                    image_id=image_id,
                    metadata={MIGRATION_KEY: migration_id},
                ).id
        volume = self._volumes.wait_for(volume_id, "available", self._timeout)
        if eik_ref is not None:
            self._check_key(project_id, volume_id, eik_ref)
        elif volume.encrypted:
            # Nova formats an encrypted volume that is not LUKS when it attaches it: the disk would be lost.
            raise errors.NoRoom(
                f"volume type {volume_type or '(default)'} encrypts, and the server's disk does not"
            )
        if boot and not volume.bootable:
            self._volumes.set_bootable(project_id, volume_id)
        self._remove_transit(migration_id, project_id)
        return volume_id

    def remove(self, migration_id: str, project_id: str | None) -> None:
        """Remove every volume, image and transit key that was made for a migration. May be repeated.

        :param project_id: the receiving project; without it a transit secret that no image names is not
            found.
        """
        for volume in self._made(migration_id, project_id):
            self._remove_volume(volume)
        self._remove_transit(migration_id, project_id)

    def _remove_volume(self, volume: ports.Volume) -> None:
        """Delete a volume with its key, which is no other volume's: Cinder gives each one of its own."""
        key = self._key_of(volume.id) if volume.encrypted else None
        if key is not None and not volume.placed:
            # Cinder would leave it. Before the volume, by which it is found again after a crash; nothing is lost with
            # it: what has no storage host is nowhere.
            self._keys.delete(key, project_id=volume.project_id)
        self._volumes.delete(volume.id, self._timeout)
        if key is not None:
            # Cinder may have given up its last host since it was listed.
            self._keys.delete(key, project_id=volume.project_id)

    def _key_of(self, volume_id: str) -> str | None:
        try:
            encryption = self._volumes.encryption(volume_id)
        except errors.NotFound:
            return None  # Cinder has deleted it meanwhile
        return None if encryption is None else self._keys.reference(encryption.key_id)

    @contextmanager
    def _no_clone_left(self, migration_id: str, project_id: str) -> Iterator[None]:
        """Cinder clones the image's key first, and leaves the clone when it then refuses the volume, over quota say."""
        name = transit_name(migration_id)
        before = set(self._keys.find(name, project_id=project_id))
        try:
            yield
        except errors.ServiceUnavailable:
            raise  # it may be making the volume, under that key
        except errors.SV2MError:
            for ref in self._keys.find(name, project_id=project_id):
                if ref not in before:
                    self._keys.delete(ref, project_id=project_id)
            raise

    def _made(self, migration_id: str, project_id: str | None) -> list[ports.Volume]:
        # Who knows the migration's id can put the mark on a volume of another project.
        return [one for one in self._volumes.find(migration_id) if project_id in (None, one.project_id)]

    def _image_of(self, migration_id: str, project_id: str, eik_ref: str) -> str:
        # What an interrupted attempt left may be half made.
        self._remove_transit(migration_id, project_id)
        with wiped(self._keys.read(eik_ref)) as eik:
            transit = self._keys.store(
                eik,
                name=transit_name(migration_id),
                secret_type="symmetric",  # noqa: S106  (Barbican's name for the kind)
                algorithm="aes",
                bit_length=len(eik) * 8,
                mode=_TRANSIT_MODE,
                project_id=project_id,
            )
        return self._images.create_blank(
            project_id,
            transit_name(migration_id),
            {
                "cinder_encryption_key_id": _secret_id(transit),
                # We delete it ourselves; Glance may not be able to.
                "cinder_encryption_key_deletion_policy": "do_not_delete",
            },
        )

    def _check_key(self, project_id: str, volume_id: str, eik_ref: str) -> None:
        """That the volume's key is the EIK: with another one Nova could never open the disk again."""
        encryption = self._volumes.encryption(volume_id)
        if encryption is None:
            raise errors.HostError(
                f"Cinder: volume {volume_id} was made from an encrypted type, but has no key"
            )
        # Cinder stored it in the project's name, so it is read in the project's name.
        key_ref = self._keys.reference(encryption.key_id)
        with (
            wiped(self._keys.read(eik_ref)) as eik,
            wiped(self._keys.read(key_ref, project_id=project_id)) as own,
        ):
            if eik != own:
                raise errors.HostError(f"Cinder gave volume {volume_id} a key of its own instead of the EIK")

    def _remove_transit(self, migration_id: str, project_id: str | None) -> None:
        name = transit_name(migration_id)
        for image_id in self._images.find(name):
            self._images.delete(image_id)
        if project_id is None:
            return
        # Cinder's clone bears the same name as what it was cloned from: the volume's own key must stay. The mode tells
        # them apart; while the volume is found by its mark, this need not be believed.
        own = set()
        for volume in self._made(migration_id, project_id):
            encryption = self._volumes.encryption(volume.id)
            if encryption is not None:
                own.add(encryption.key_id)
        for ref in self._keys.find(name, project_id=project_id, mode=_TRANSIT_MODE):
            if _secret_id(ref) not in own:
                self._keys.delete(ref, project_id=project_id)


def transit_name(migration_id: str) -> str:
    """Name of the secret and of the image that carry an EIK to Cinder."""
    return f"sv2m-{migration_id}-transit"


def _secret_id(ref: str) -> str:
    return ref.rstrip("/").rsplit("/", 1)[-1]
