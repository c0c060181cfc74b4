# SPDX-License-Identifier: Apache-2.0
"""The container that B's agent makes, by the real qemu-img, for each size of a key that Cinder's volume types have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sv2m.agent.libvirt import luks
from sv2m.errors import Conflict
from sv2m.protocol.luks import CIPHER, container

#: Bytes that the guest sees.
SIZE = 4 << 20
EIK = bytes(range(32))


@pytest.mark.parametrize("key_size", [128, 192, 256, 384, 512])
def test_the_header_is_as_long_as_is_said_for_each_size_of_a_key(tmp_path: Path, key_size: int) -> None:
    wanted = container(CIPHER, key_size)
    path = tmp_path / "volume"
    path.write_bytes(bytes(SIZE + wanted.header))
    luks.make(str(path), SIZE, wanted, bytearray(EIK), 60)
    assert path.stat().st_size == SIZE + wanted.header
    found = json.loads(subprocess.check_output(["qemu-img", "info", "--output", "json", path]))
    assert (found["format"], found["virtual-size"]) == ("luks", SIZE)
    made = found["format-specific"]["data"]
    assert (made["cipher-alg"], made["cipher-mode"], made["ivgen-alg"]) == (wanted.algorithm, "xts", "plain64")
    assert made["payload-offset"] == wanted.header


def test_a_volume_without_room_for_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.write_bytes(bytes(SIZE))
    with pytest.raises(Conflict, match="disk and LUKS header need"):
        luks.make(str(path), SIZE, container(CIPHER, 256), bytearray(EIK), 60)
    assert path.read_bytes() == bytes(SIZE)
