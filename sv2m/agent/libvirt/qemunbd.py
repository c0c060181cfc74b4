# SPDX-License-Identifier: Apache-2.0
"""Writing into a placeholder's disk through qemu-nbd, which encrypts under the EIK where that is called for.

The path and the format come from this cloud's own domain XML. The key reaches qemu-nbd through a pipe: it
stands in no argument, no environment and no file.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import nbd
from oslo_log import log

from sv2m.agent import private
from sv2m.errors import HypervisorError

LOG = log.getLogger(__name__)

#: Bytes of one request to make zeros: an encrypted disk has to write them out.
_ZERO_STEP = 64 << 20
#: Bytes of one write request; qemu-nbd takes 32 MiB at most.
_WRITE_STEP = 8 << 20
#: Milliseconds for a killed qemu-nbd to end its last write.
_LAST_WRITE = 10_000


def passphrase(eik: bytearray) -> bytearray:
    """What QEMU and Nova take as LUKS passphrase for a key of Cinder's.

    Its lowercase hex (os-brick, Nova).
    """
    return bytearray(eik.hex().encode())


class NbdDisk:
    """One disk of the placeholder, open for writing. See :class:`sv2m.agent.hypervisor.LandingDisk`.

    :param path: the file or block device.
    :param kind: libvirt's disk type: file or block.
    :param fmt: libvirt's driver type: raw or qcow2.
    :param eik: the key of an encrypted disk, None for another.
    :param socket_path: a path in the agent's private directory.
    :param timeout: seconds for qemu-nbd to start, and to end.
    """

    def __init__(
        self,
        *,
        index: int,
        path: str,
        kind: str,
        fmt: str,
        eik: bytearray | None,
        socket_path: Path,
        timeout: float,
    ) -> None:
        self.index = index
        self.size = 0
        self._timeout = timeout
        self._socket_path = socket_path
        self._image = _image(path, kind, fmt, eik is not None)
        self._eik = eik
        self._process: subprocess.Popen[bytes] | None = None
        self._handle: Any = None

    def start(self) -> None:
        """Open the disk.

        :raises HypervisorError: qemu-nbd cannot, for instance because the key is a wrong one.
        """
        self._socket_path.unlink(missing_ok=True)
        arguments = ["qemu-nbd", "--socket", str(self._socket_path), "--discard=unmap", "--cache=writeback"]
        passed: tuple[int, ...] = ()
        secret = -1
        if self._eik is not None:
            secret = pipe_of(passphrase(self._eik))
            passed = (secret,)
            arguments += ["--object", f"secret,id=eik,file=/dev/fd/{secret}"]
        try:
            self._process = subprocess.Popen(
                [*arguments, f"json:{json.dumps(self._image)}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=passed,
                start_new_session=True,
                umask=private.UMASK,
            )
        except OSError as error:
            raise HypervisorError(f"qemu-nbd cannot be started: {error.strerror}") from error
        finally:
            if secret >= 0:
                os.close(secret)
        self._connect()

    def write(self, offset: int, data: memoryview) -> None:
        """See the port."""
        try:
            for start in range(0, len(data), _WRITE_STEP):
                self._handle.pwrite(data[start : start + _WRITE_STEP], offset + start)
        except nbd.Error as error:
            raise HypervisorError(f"writing disk {self.index}: {error}") from error

    def zero(self, offset: int, length: int) -> None:
        """See the port.

        The whole disk has to read as it did at the source, whatever the placeholder left in it.
        """
        try:
            for start in range(0, length, _ZERO_STEP):
                self._handle.zero(min(_ZERO_STEP, length - start), offset + start)
        except nbd.Error as error:
            raise HypervisorError(f"writing disk {self.index}: {error}") from error

    def flush(self) -> None:
        """See the port."""
        try:
            self._handle.flush()
        except nbd.Error as error:
            raise HypervisorError(f"writing disk {self.index}: {error}") from error

    def close(self) -> None:
        """Flush to stable storage, and wait for qemu-nbd to let go of the disk.

        QEMU could not lock it before.
        """
        process, handle = self._process, self._handle
        if process is None or handle is None:
            return
        try:
            handle.flush()
            handle.shutdown()
            process.wait(self._timeout)
        except (nbd.Error, subprocess.TimeoutExpired) as error:
            raise HypervisorError(f"disk {self.index} could not be flushed and closed: {error}") from error
        if process.returncode:
            raise HypervisorError(f"disk {self.index} could not be closed: qemu-nbd said {process.returncode}")
        self.kill()

    def kill(self) -> None:
        """End qemu-nbd whatever it does. Safe from any thread and more than once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
        self._socket_path.unlink(missing_ok=True)

    def _connect(self) -> None:
        process = self._process
        assert process is not None and process.stderr is not None  # noqa: S101 - start() has just set it
        deadline = time.monotonic() + self._timeout
        while True:
            handle = nbd.NBD()
            # Records do not end where blocks do: whoever is not told block sizes gets them rounded by
            # qemu-nbd.
            handle.set_request_block_size(False)
            try:
                handle.connect_unix(str(self._socket_path))
            except nbd.Error as error:
                if process.poll() is not None:
                    message = last_line(process.stderr.read())
                    raise HypervisorError(f"disk {self.index} of the placeholder: {message}") from error
                if time.monotonic() > deadline:
                    process.kill()
                    raise HypervisorError(f"disk {self.index}: qemu-nbd did not open it in time") from error
                # qemu-nbd makes its socket when the disk is open; a LUKS key slot may take seconds.
                time.sleep(0.02)
            else:
                self._handle = handle
                self.size = handle.get_size()
                return


def _image(path: str, kind: str, fmt: str, encrypted: bool) -> dict[str, Any]:
    file = {"driver": "host_device" if kind == "block" else "file", "filename": path}
    if fmt not in ("raw", "qcow2"):
        raise HypervisorError(f"a disk of format {fmt} cannot be written")
    if not encrypted:
        return {"driver": fmt, "file": file}
    if fmt == "raw":
        return {"driver": "luks", "key-secret": "eik", "file": file}
    return {"driver": "qcow2", "encrypt": {"format": "luks", "key-secret": "eik"}, "file": file}


def pipe_of(secret: bytearray) -> int:
    """The reading end of a pipe that holds ``secret`` and nothing more.

    A pipe's content never reaches a disk.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        # 64 bytes: less than a pipe holds, so this does not wait for the reader.
        os.write(writer, secret)
    finally:
        os.close(writer)
        secret[:] = bytes(len(secret))
    return reader


def last_line(message: bytes) -> str:
    """The last line of what a program printed on stderr: where it says why it failed."""
    lines = message.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "qemu-nbd ended without a word"


def kill_leftovers(workdir: Path) -> None:
    """End every qemu-nbd that serves a socket in ``workdir``: only ours does. For the agent's own restart."""
    wanted = os.fsencode(f"{workdir}/")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if os.path.basename(arguments[0]) != b"qemu-nbd" or not any(a.startswith(wanted) for a in arguments):
                continue
            # A pidfd names the process that was read above; a reused pid could be anybody's.
            descriptor = os.pidfd_open(int(entry.name))
            try:
                if (entry / "cmdline").read_bytes().split(b"\0") == arguments:
                    LOG.info("ending qemu-nbd %s of a migration that died with the agent", entry.name)
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    # It may be amid a write, and holds the disk until that is done.
                    ended = select.poll()
                    ended.register(descriptor, select.POLLIN)
                    if not ended.poll(_LAST_WRITE):
                        LOG.warning("qemu-nbd %s was killed and has not ended yet", entry.name)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended by itself
