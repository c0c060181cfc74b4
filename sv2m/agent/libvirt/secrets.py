# SPDX-License-Identifier: Apache-2.0
"""libvirt's secret of an encrypted disk.

Nova defines it when it attaches the volume; rarely it has to be made again.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import libvirt

from sv2m.agent.libvirt.domain import DomainDisk
from sv2m.agent.libvirt.qemunbd import passphrase
from sv2m.errors import HypervisorError


def ensure(handle: Any, disk: DomainDisk, eik: bytearray) -> bool:
    """Make sure that libvirt has the secret that the disk names. Returns whether it had to be defined.

    A secret that this defines is ephemeral and private: in libvirt's memory only, and unreadable.
    """
    try:
        handle.secretLookupByUUIDString(disk.secret_uuid)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
            raise HypervisorError(f"libvirt's secret of disk {disk.target}: {error.get_error_message()}") from error
    else:
        return False
    root = ET.Element("secret", ephemeral="yes", private="yes")
    ET.SubElement(root, "uuid").text = disk.secret_uuid
    usage = ET.SubElement(root, "usage", type="volume")
    # The usage that Nova gives it: the volume's id, which the domain carries as the disk's serial.
    ET.SubElement(usage, "volume").text = disk.serial or disk.secret_uuid
    value = passphrase(eik)
    try:
        handle.secretDefineXML(ET.tostring(root, encoding="unicode")).setValue(bytes(value))
    except libvirt.libvirtError as error:
        raise HypervisorError(f"libvirt's secret of disk {disk.target}: {error.get_error_message()}") from error
    finally:
        value[:] = bytes(len(value))
    return True


def remove(handle: Any, secret_uuid: str) -> None:
    """Remove a secret that :func:`ensure` defined; nothing to do if it is gone."""
    try:
        handle.secretLookupByUUIDString(secret_uuid).undefine()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
            raise HypervisorError(f"libvirt's secret {secret_uuid}: {error.get_error_message()}") from error
