# SPDX-License-Identifier: Apache-2.0
"""Ciphers, key sizes, providers and sizes of encrypted volumes, in Cinder's words and in QEMU's."""

from __future__ import annotations

from typing import Any

import pytest

from sv2m import errors
from sv2m.protocol import luks

GIB = 1 << 30


@pytest.mark.parametrize(
    ("key_size", "algorithm"),
    [(128, "aes-128"), (192, "aes-192"), (256, "aes-256"), (384, "aes-192"), (512, "aes-256")],
)
def test_dm_crypt_counts_both_keys_of_xts_and_qemu_one(key_size: int, algorithm: str) -> None:
    assert luks.container("aes-xts-plain64", key_size).algorithm == algorithm


@pytest.mark.parametrize(
    ("cipher", "key_size"),
    [
        ("serpent-xts-plain64", 256),
        ("aes-cbc-essiv:sha256", 256),
        ("aes-xts-plain", 256),
        ("AES-XTS-PLAIN64", 256),
        ("", 256),
        ("aes-xts-plain64", 64),
        ("aes-xts-plain64", 1024),
        ("aes-xts-plain64", 0),
    ],
)
def test_what_is_not_made_is_refused_by_name(cipher: str, key_size: int) -> None:
    with pytest.raises(errors.ServerNotMovable, match=f"with {key_size} bits; what is moved is aes-xts-plain64"):
        luks.container(cipher, key_size)


@pytest.mark.parametrize(
    "provider",
    [
        "luks",
        "LuksEncryptor",
        "nova.volume.encryptors.luks.LuksEncryptor",
        "os_brick.encryptors.luks.LuksEncryptor",
    ],
)
def test_whatever_nova_takes_for_luks_is_luks(provider: str) -> None:
    luks.check_opened_by_qemu("volume 7", provider, "front-end")


@pytest.mark.parametrize(
    ("provider", "place"),
    [
        ("luks2", "front-end"),
        ("luks", "back-end"),
        ("plain", "front-end"),
        ("nova.volume.encryptors.cryptsetup.CryptsetupEncryptor", "front-end"),
        ("luksandmore", "front-end"),
        ("", ""),
    ],
)
def test_what_qemu_does_not_open_is_refused_with_the_reason(provider: str, place: str) -> None:
    with pytest.raises(errors.ServerNotMovable, match="version 1, which QEMU opens"):
        luks.check_opened_by_qemu("volume 7", provider, place)


def _disk(size: int, gb: int, key_size: int = 0) -> dict[str, Any]:
    cipher = luks.CIPHER if key_size else ""
    return {"size": size, "volume_gb": gb, "encrypted": bool(key_size), "cipher": cipher, "key_size": key_size}


@pytest.mark.parametrize(
    ("disk", "gb"),
    [
        (_disk(GIB, 1), 1),
        (_disk(GIB - 512, 1), 1),
        (_disk(GIB + (12 << 20), 1), 2),
        (_disk(5 * GIB, 0), 0),
        # As Cinder's drivers make them, by qemu-img and by cryptsetup.
        (_disk(GIB - 2_068_480, 1, 256), 1),
        (_disk(GIB - (2 << 20), 1, 512), 1),
        (_disk(GIB - 1_052_672, 1, 128), 1),
        # The header lies elsewhere, or the device is larger than the volume.
        (_disk(GIB, 1, 256), 2),
        (_disk(GIB - 2_068_479, 1, 256), 2),
        (_disk(40 * GIB, 10, 256), 41),
    ],
)
def test_a_volume_at_b_has_room_for_what_the_guest_sees_and_the_header(disk: dict[str, Any], gb: int) -> None:
    assert luks.volume_gb(disk) == gb
