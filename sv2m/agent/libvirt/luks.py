# SPDX-License-Identifier: Apache-2.0
"""A LUKS container for an arriving encrypted disk, made in place of the one that B's storage or Nova made.

A container's header may be of different lengths (QEMU's and cryptsetup's are), so that a volume of the same size at B
may show the guest a smaller disk than at A. The agent therefore makes its own, of exactly the source's size, under
the EIK: a key of full entropy, for which a long key derivation would only lengthen every start of QEMU.
"""

from __future__ import annotations

import os
import subprocess

from sv2m.agent.libvirt.qemunbd import last_line, passphrase, pipe_of
from sv2m.errors import Conflict, HypervisorError
from sv2m.protocol.luks import Container

#: Milliseconds of key derivation.
_ITERATION = "50"
#: QEMU 7.2 measures the processor first, and now and then fails at that when the time is short.
_ATTEMPTS = 10


def make(path: str, size: int, container: Container, eik: bytearray, timeout: float) -> None:
    """Write an empty container into the file or block device at ``path``, which nothing else uses.

    :param path: out of B's own domain XML.
    :param size: bytes that the guest sees.
    :param timeout: seconds.
    :raises Conflict: the volume is too small for it.
    :raises HypervisorError: qemu-img failed.
    """
    with open(path, "rb") as device:
        room = device.seek(0, os.SEEK_END)
    if room < size + container.header:
        raise Conflict(
            f"the volume at the destination has {room} bytes; disk and LUKS header need {size + container.header}",
            code="placeholder-differs",
            remedy="The destination's volume type must give volumes at least the source's size.",
        )
    options = f"key-secret=eik,iter-time={_ITERATION},cipher-alg={container.algorithm},cipher-mode=xts"
    options += ",ivgen-alg=plain64"
    for attempt in range(1, _ATTEMPTS + 1):
        # A pipe is read once; each attempt gets its own.
        secret = pipe_of(passphrase(eik))
        try:
            command = ["qemu-img", "create", "-q", "-f", "luks", "--object", f"secret,id=eik,file=/dev/fd/{secret}"]
            done = subprocess.run(
                [*command, "-o", options, path, str(size)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=(secret,),
                timeout=timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HypervisorError(f"qemu-img could not make the LUKS container: {type(error).__name__}") from error
        finally:
            os.close(secret)
        if done.returncode == 0:
            return
        if b"CPU usage" not in done.stderr or attempt == _ATTEMPTS:
            raise HypervisorError(f"qemu-img could not make the LUKS container: {last_line(done.stderr)}")
