# SPDX-License-Identifier: Apache-2.0
"""Two compute hosts for tests.

Libvirt in session mode, each with directories of its own, and what Nova would do.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import libvirt

T = TypeVar("T")


def until(what: str, look: Callable[[], T | None], timeout: float = 60.0) -> T:
    """Look again and again until something is there."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)
    return found


class LibvirtHost:
    """A libvirtd of its own.

    Session mode is for users, so for root it runs as a user of a user namespace: outside that user is root
    again, and so may open the agent's FIFOs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.images = directory / "images"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"qemu+unix:///session?socket={self.directory}/run/libvirt/libvirt-sock"

    def start(self) -> None:
        for name in ("run", "config/libvirt", "data", "cache", "home", "images"):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = 'stdio_handler = "file"\ncgroup_controllers = []\n'
        (self.directory / "config/libvirt/qemu.conf").write_text(settings)
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory / "home"),
            "XDG_RUNTIME_DIR": str(self.directory / "run"),
            "XDG_CONFIG_HOME": str(self.directory / "config"),
            "XDG_DATA_HOME": str(self.directory / "data"),
            "XDG_CACHE_HOME": str(self.directory / "cache"),
        }
        as_user = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
        with (self.directory / "libvirtd.log").open("wb") as out:
            self._process = subprocess.Popen(
                [*as_user, "libvirtd", "--timeout", "0"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        until("libvirtd", self._answers)

    def kill(self) -> None:
        """libvirtd ends at once; its QEMUs go on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        connection = self.connect()
        for domain in connection.listAllDomains():
            self.remove(domain)
        connection.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except libvirt.libvirtError:
            return False
        return True

    def connect(self) -> Any:
        return libvirt.open(self.uri)

    @staticmethod
    def remove(domain: Any) -> None:
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


class Server:
    """A domain as Nova would define it: an encrypted volume (raw LUKS), and a local qcow2 disk."""

    def __init__(self, host: LibvirtHost, eik: bytes, local_size: int, memory_mib: int = 96) -> None:
        self.host = host
        self.id = str(uuid.uuid4())
        self.volume_id = str(uuid.uuid4())
        self.secret_id = str(uuid.uuid4())
        self._memory_mib = memory_mib
        self.volume = host.images / f"volume-{self.volume_id}"
        self.local = host.images / f"{self.id}-disk"
        self.console = host.images / f"{self.id}-console.log"
        self._passphrase = eik.hex()
        self._local_size = local_size
        self.connection = host.connect()

    @property
    def domain(self) -> Any:
        return self.connection.lookupByUUIDString(self.id)

    def connect_again(self) -> None:
        """After libvirtd was killed."""
        self.connection = self.host.connect()

    def make(self, content: Path | None, size: int, local_content: Path | None = None) -> None:
        """Make the disks, the secret and the domain; ``content`` fills the volume, else it is blank."""
        secret = (
            f"<secret ephemeral='no' private='no'><uuid>{self.secret_id}</uuid>"
            f"<usage type='volume'><volume>{self.volume_id}</volume></usage></secret>"
        )
        self.connection.secretDefineXML(secret).setValue(self._passphrase.encode())
        key = ["--object", f"secret,id=s,data={self._passphrase}"]
        options = "key-secret=s,cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256,iter-time=10"
        if content is None:
            command = [
                "qemu-img",
                "create",
                "-q",
                "-f",
                "luks",
                *key,
                "-o",
                options,
                str(self.volume),
                str(size),
            ]
        else:
            command = [
                "qemu-img",
                "convert",
                "-q",
                "-O",
                "luks",
                *key,
                "-o",
                options,
                str(content),
                str(self.volume),
            ]
        _patiently(command)
        if local_content is None:
            subprocess.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", str(self.local), str(self._local_size)],
                check=True,
            )
        else:
            # As Nova does: an overlay over an image that all servers share.
            subprocess.run(
                [
                    "qemu-img",
                    "create",
                    "-q",
                    "-f",
                    "qcow2",
                    "-b",
                    str(local_content),
                    "-F",
                    "raw",
                    str(self.local),
                ],
                check=True,
            )
        self.connection.defineXML(self._xml())

    def remove(self) -> None:
        self.host.remove(self.domain)
        for path in (self.volume, self.local, self.console):
            path.unlink(missing_ok=True)

    def forget_secret(self) -> None:
        """As a libvirtd that was restarted forgets ephemeral ones."""
        self.connection.secretLookupByUUIDString(self.secret_id).undefine()

    def count(self) -> int:
        """The newest number on the console."""
        counts = self.counts()
        return counts[-1][1] if counts else 0

    def counts(self) -> list[tuple[str, int]]:
        """Every line of the console: boot id and number."""
        if not self.console.exists():
            return []
        found = []
        for line in self.console.read_text(errors="replace").splitlines()[:-1]:
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if line.startswith("sv2m-guest boot=") and "disk" in words:
                found.append((words["boot"], int(words["count"])))
        return found

    def content(self, disk: Path, encrypted: bool) -> str:
        """SHA-256 of a disk as the guest sees it; the domain must not be running."""
        target = self.host.directory / f"plain-{disk.name}.raw"
        if encrypted:
            image = f"driver=luks,key-secret=s,file.driver=file,file.filename={disk}"
        else:
            image = f"driver=qcow2,file.driver=file,file.filename={disk}"
        key = ["--object", f"secret,id=s,data={self._passphrase}"]
        command = ["qemu-img", "convert", "-q", "-U", *key, "--image-opts", image, "-O", "raw", str(target)]
        subprocess.run(command, check=True)
        shown = subprocess.run(["sha256sum", str(target)], check=True, capture_output=True, text=True)
        return shown.stdout.split()[0]

    def _xml(self) -> str:
        encryption = f"<encryption format='luks'><secret type='passphrase' uuid='{self.secret_id}'/></encryption>"
        return f"""<domain type='qemu'><name>instance-{self.id[:8]}</name><uuid>{self.id}</uuid>
<memory unit='MiB'>{self._memory_mib}</memory><vcpu>1</vcpu>
<sysinfo type='smbios'><system><entry name='manufacturer'>OpenStack Foundation</entry>
<entry name='product'>OpenStack Nova</entry><entry name='version'>{self.host.directory.name}</entry>
<entry name='uuid'>{self.id}</entry></system></sysinfo>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/><smbios mode='sysinfo'/></os>
<features><acpi/><apic/></features>
<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/>
<source file='{self.volume}'>{encryption}</source><target dev='vda' bus='virtio'/>
<serial>{self.volume_id}</serial></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='{self.local}'/>
<target dev='vdb' bus='virtio'/></disk>
<interface type='user'><mac address='fa:16:3e:00:00:01'/><model type='virtio'/></interface>
<serial type='file'><source path='{self.console}'/></serial>
<controller type='usb' model='none'/><memballoon model='virtio'/>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"""


def _patiently(command: list[str]) -> None:
    """QEMU 7.2 sometimes cannot measure how long a key slot takes, with an iter-time as short as this one."""
    for attempt in range(20):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if not result.returncode:
            return
        if "CPU usage" not in result.stderr or attempt == 19:
            raise RuntimeError(result.stderr)
