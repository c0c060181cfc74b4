# SPDX-License-Identifier: Apache-2.0
"""The header of libvirt's save image: what stands before QEMU's migration stream when a domain is restored.

Layout: libvirt, ``src/qemu/qemu_saveimage.h`` (``virQEMUSaveHeader``, version 2), little-endian on x86-64.
"""

from __future__ import annotations

import struct

MAGIC = b"LibvirtQemudSave"
VERSION = 2
#: magic, version, data_len, was_running, compressed, cookie_offset, fourteen unused words: 92 bytes.
_HEADER = struct.Struct("<16s5I56x")


def header(domain_xml: str) -> bytes:
    """The header of a save image that restores ``domain_xml``.

    ``was_running`` is 0 and there is no cookie, so that nothing but an explicit resume lets the guest run.
    The stream follows directly: without compression libvirt hands the same file descriptor to QEMU.
    """
    data = domain_xml.encode() + b"\0"
    return _HEADER.pack(MAGIC, VERSION, len(data), 0, 0, 0) + data
