# SPDX-License-Identifier: Apache-2.0
"""The header before a memory stream: what a peer says of its guest's SMBIOS cannot leave its place in B's own XML."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET

from sv2m import errors
from sv2m.agent.libvirt import saveimage
from sv2m.agent.libvirt.domain import facts
from sv2m.agent.libvirt.landing import _with_sysinfo
from sv2m.protocol import Sysinfo
from tests.fuzz import values
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors
from tests.unit.agent.domains import XML

_HEADER = struct.Struct("<16s5I56x")


def check(data: bytes) -> None:
    """The strings of a descriptor, as JSON."""
    try:
        plain = json.loads(data)
        sysinfo = Sysinfo(**plain) if isinstance(plain, dict) else None
    except (ValueError, RecursionError, TypeError, errors.LocalError):
        return
    if sysinfo is None:
        return
    wanted = {"manufacturer": sysinfo.manufacturer, "product": sysinfo.product, "version": sysinfo.version}
    header = saveimage.header(_with_sysinfo(XML, wanted))
    magic, version, length, running, compressed, cookie = _HEADER.unpack_from(header)
    promise((magic, version, running, compressed, cookie) == (saveimage.MAGIC, 2, 0, 0, 0), "another kind of image")
    text = header[_HEADER.size :]
    promise(len(text) == length and text.index(b"\0") == length - 1, "the XML ends before its end")
    ours, made = facts(XML), facts(text[:-1].decode())
    promise(all(made.sysinfo[name] == (value or ours.sysinfo[name]) for name, value in wanted.items()), "other strings")
    promise(_but_sysinfo(XML) == _but_sysinfo(text[:-1].decode()), "more than the strings was changed")


def _but_sysinfo(xml: str) -> bytes:
    root = ET.fromstring(xml)
    for entry in root.iterfind("sysinfo/system/entry"):
        entry.text = ""
    return ET.tostring(root)


def make() -> Target:
    seeds = (
        json.dumps(vectors.values()["needs"]["sysinfo"]).encode(),
        b'{"manufacturer": "</entry></system><hostdev/>", "product": "&amp;<![CDATA[", "version": ""}',
    )
    return Target(
        "agent.libvirt.saveimage: the save header",
        check,
        seeds,
        ("sv2m.agent", "sv2m.protocol"),
        values.mutator(("manufacturer", "product", "version")),
    )
