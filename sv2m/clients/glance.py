# SPDX-License-Identifier: Apache-2.0
"""Glance: the small blank images from which placeholders, and volumes with an imported key, are made."""

from __future__ import annotations

from collections.abc import Mapping

from sv2m.clients.keystone import Keystone
from sv2m.clients.rest import RestService

#: Bytes of a blank image. Nova and Cinder enlarge what they make of it to what flavor and volume say.
BLANK_SIZE = 64 * 1024


class Glance:
    """Glance's API, as far as SV2M needs it."""

    def __init__(self, keystone: Keystone) -> None:
        self._rest = RestService(keystone, "Glance", "image", major=2)

    def create_blank(self, project_id: str, name: str, properties: Mapping[str, str] | None = None) -> str:
        """Make a private raw image of :data:`BLANK_SIZE` zeros in a project, and return its id.

        :param properties: further image properties, e.g. ``hw_machine_type`` or ``cinder_encryption_key_id``.
        """
        made = self._rest.json(
            f"make image {name}",
            "POST",
            "/images",
            json={
                "name": name,
                "visibility": "private",
                "disk_format": "raw",
                "container_format": "bare",
                **(properties or {}),
            },
            project_id=project_id,
        )
        image_id = str(made["id"])
        try:
            self._rest.request(
                f"fill image {name}",
                "PUT",
                f"/images/{image_id}/file",
                data=bytes(BLANK_SIZE),
                headers={"Content-Type": "application/octet-stream"},
                project_id=project_id,
            )
        except BaseException:
            self.delete(image_id, project_id=project_id)
            raise
        return image_id

    def find(self, name: str, *, project_id: str | None = None) -> list[str]:
        """Ids of images of exactly this name: of one project, or, None, of all."""
        params = {"name": name, "visibility": "all"}
        if project_id is not None:
            params["owner"] = project_id
        body = self._rest.json("list images", "GET", "/images", params=params)
        return [str(one["id"]) for one in body["images"] if one["name"] == name]

    def delete(self, image_id: str, *, project_id: str | None = None) -> None:
        """Delete an image; that it is gone already is fine."""
        self._rest.request(
            f"delete image {image_id}", "DELETE", f"/images/{image_id}", accept=(404,), project_id=project_id
        )
