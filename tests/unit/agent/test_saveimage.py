# SPDX-License-Identifier: Apache-2.0
"""The save image's header, byte by byte."""

from __future__ import annotations

import struct

from sv2m.agent.libvirt import saveimage


def test_the_header_is_libvirts_and_never_lets_the_guest_run_by_itself() -> None:
    made = saveimage.header("<domain>ü</domain>")
    magic, version, length, running, compressed, cookie, *unused = struct.unpack("<16s5I14I", made[:92])
    assert (magic, version) == (b"LibvirtQemudSave", 2)
    assert (running, compressed, cookie, set(unused)) == (0, 0, 0, {0})
    assert made[92:] == "<domain>ü</domain>\0".encode()
    assert length == len(made) - 92
