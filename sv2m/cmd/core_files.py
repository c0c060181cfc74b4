# SPDX-License-Identifier: Apache-2.0
"""No core file of a program that may have keys in its memory, however it was started."""

from __future__ import annotations

import ctypes
import os
import resource

#: <linux/prctl.h>.
_PR_SET_DUMPABLE = 4


def forbid() -> None:
    """Let nobody write this process's memory to a core file, nor that of the programs that it starts.

    Two things, because each leaves out something. The limit is inherited by what is started (qemu-nbd and qemu-img
    get keys), but the kernel does not ask for it when ``core_pattern`` is a pipe to a program. A process that is not
    dumpable is dumped to neither, and other processes of the same user cannot trace it or read its memory; a program
    that is started begins dumpable again. That ``/proc/PID`` is root's from now on does no harm: SV2M reads nothing
    there that has other modes for others, and root may still trace.

    :raises OSError: the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
