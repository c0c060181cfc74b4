# SPDX-License-Identifier: Apache-2.0
"""A server's disks as the conductor sees them: Cinder's volumes, and a blank image for a local disk."""

from __future__ import annotations

from typing import Any

from sv2m.clients.cinder import Cinder
from sv2m.clients.glance import Glance


class Storage:
    """What the conductor asks about volumes and images."""

    def __init__(self, cinder: Cinder, glance: Glance) -> None:
        self._cinder = cinder
        self._glance = glance

    def get(self, volume_id: str) -> dict[str, Any]:
        """A volume: id, name, status, migration_status, size (GiB), type, encrypted, multiattach, bootable, group (id),
        servers (ids).

        :raises sv2m.errors.NotFound: there is no such volume.
        """
        volume = self._cinder.volume(volume_id)
        return {
            "id": volume.id,
            "name": volume.name,
            "status": volume.status,
            "migration_status": volume.migration_status,
            "size": volume.size_gb,
            "type": volume.volume_type,
            "encrypted": volume.encrypted,
            "multiattach": volume.multiattach,
            "bootable": volume.bootable,
            "group": volume.group_id,
            "servers": list(volume.servers),
        }

    def encryption(self, volume_id: str) -> dict[str, Any]:
        """How a volume is encrypted: provider, cipher, key_size (bits), control_location; {} when not."""
        found = self._cinder.encryption(volume_id)
        if found is None:
            return {}
        return {
            "provider": found.provider,
            "cipher": found.cipher,
            "key_size": found.key_size,
            "control_location": found.control_location,
        }

    def check_quota(self, project_id: str, size_gb: int) -> None:
        """Whether a project may have one volume more, of this size. :raises sv2m.errors.NoRoom: it may not."""
        self._cinder.check_quota(project_id, size_gb)

    def snapshots(self, volume_id: str) -> list[str]:
        """Ids of a volume's snapshots."""
        return self._cinder.snapshots(volume_id)

    def delete(self, volume_id: str, timeout: float) -> None:
        """Delete a volume and its key, and wait until it is gone; that it is gone already is fine."""
        self._cinder.delete(volume_id, timeout)

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        """What was made in a project for a migration is its own from now on; repeating does no harm."""
        self._cinder.mark_arrived(migration_id, project_id)

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of the volumes in a project that :meth:`mark_arrived` marked for a migration."""
        return self._cinder.find_arrived(migration_id, project_id)

    def blank_image(self, migration_id: str, project_id: str) -> str:
        """Id of a blank image in a project, made for a migration; the one that is there already, if so."""
        name = blank_image_name(migration_id)
        found = self._glance.find(name, project_id=project_id)
        return found[0] if found else self._glance.create_blank(project_id, name)

    def delete_blank_image(self, migration_id: str) -> None:
        """Delete what :meth:`blank_image` made, if it made anything."""
        for image_id in self._glance.find(blank_image_name(migration_id)):
            self._glance.delete(image_id)


def blank_image_name(migration_id: str) -> str:
    """Name of the image of a placeholder with a local disk."""
    return f"sv2m-{migration_id}-blank"
