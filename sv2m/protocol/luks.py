# SPDX-License-Identifier: Apache-2.0
"""What Cinder says of an encrypted volume, and what B's agent makes of it: the one place that knows both tongues.

Cinder's cipher has the name that dm-crypt gives it, and its key has so many bits as the volume type says. For XTS
dm-crypt counts the keys of both halves (``cryptsetup --key-size 512`` is AES-256), QEMU and the Cinder drivers that use
qemu-img count one (``aes-256``): 256 bits may be either. The agent makes a container of its own for an arriving disk,
never weaker than what A's may be. The header says what it is, so that QEMU at B needs to be told nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sv2m import errors

#: The one cipher that the agent makes, as Cinder calls it.
CIPHER: Final = "aes-xts-plain64"
#: How a volume type may name LUKS, version 1, beside ``luks``: os-brick and Nova take these for it as well.
#: Source: os_brick.encryptors.LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP.
_LUKS: Final = (
    "luks",
    "nova.volume.encryptors.luks.LuksEncryptor",
    "os_brick.encryptors.luks.LuksEncryptor",
    "LuksEncryptor",
)


@dataclass(frozen=True)
class Container:
    """A LUKS container as QEMU makes it.

    :param algorithm: QEMU's ``cipher-alg``; the mode is xts, the IV plain64.
    :param header: bytes before the payload: version 1, eight key slots of 4000 stripes.
    """

    algorithm: str
    header: int


_AES_128: Final = Container("aes-128", 1_052_672)
_AES_192: Final = Container("aes-192", 1_544_192)
_AES_256: Final = Container("aes-256", 2_068_480)
#: By the bits of Cinder's key.
_CONTAINERS: Final = {128: _AES_128, 192: _AES_192, 256: _AES_256, 384: _AES_192, 512: _AES_256}


def container(cipher: str, key_size: int) -> Container:
    """What is made for a disk that is encrypted so.

    :param cipher: Cinder's name of it.
    :param key_size: bits, as Cinder counts them.
    :raises ServerNotMovable: it is none that is made.
    """
    if cipher != CIPHER or key_size not in _CONTAINERS:
        sizes = ", ".join(str(size) for size in _CONTAINERS)
        raise errors.ServerNotMovable(
            f"a disk is encrypted by {cipher or 'a cipher without a name'} with {key_size} bits; what is moved is "
            f"{CIPHER} with {sizes} bits",
            remedy="Retype the volume to a type that encrypts so.",
        )
    return _CONTAINERS[key_size]


def check_opened_by_qemu(what: str, provider: str, control_location: str) -> None:
    """That a compute host's QEMU opens the volume itself, by a passphrase that is its key.

    :param what: the volume, for the message.
    :raises ServerNotMovable: something else opens it.
    """
    if not opened_by_qemu(provider, control_location):
        raise errors.ServerNotMovable(
            f"{what} is encrypted by {provider or 'an unknown provider'} at the {control_location or 'unknown end'}; "
            "what is moved is LUKS at the front-end: provider luks, version 1, which QEMU opens",
            remedy="Retype the volume to a type that encrypts so.",
        )


def opened_by_qemu(provider: str, control_location: str) -> bool:
    """See :func:`check_opened_by_qemu`."""
    return provider in _LUKS and control_location == "front-end"


def volume_gb(disk: Mapping[str, Any]) -> int:
    """GiB of the volume that a disk of the descriptor needs at B; 0 for a local disk.

    As many as at A, or one more: where A keeps the LUKS header elsewhere, or its storage rounds up, what the guest sees
    and B's header are together more than that.
    """
    if not disk["volume_gb"]:
        return 0
    header = container(disk["cipher"], disk["key_size"]).header if disk["encrypted"] else 0
    return max(int(disk["volume_gb"]), (int(disk["size"]) + header - 1 >> 30) + 1)
