# SPDX-License-Identifier: Apache-2.0
"""The guest's disk image: a small FAT partition with SYSLINUX, kernel and initrd, and free room behind it.

The disk boots by itself, so a server that was moved still boots after a hard reboot, in a cloud that never
had the guest's image. An image with `kernel_id` would leave its kernel behind.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from lab.cloud import Cloud, Lab
from lab.resources import GUEST_IMAGE, add_image

MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"),
    *("failover", "net_failover", "virtio_net", "button", "evdev"),
)
SIZE = 64 * 2**20
_PARTITION_START = 2048
_PARTITION_SECTORS = 40 * 2048
_SECTOR = 512
_BOOTABLE, _FAT16_LBA = 0x80, 0x0E
_META_PACKAGE = "linux-image-cloud-amd64"
_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
_PARAMETERS = "console=ttyS0 panic=1 tsc=unstable quiet"
#: 64 KiB of nothing: for volumes whose content comes from elsewhere.
BLANK_IMAGE, _BLANK_SIZE = "blank", 65536


def prepare(lab: Lab) -> None:
    """Put the default guest's image and the blank one into the lab's cache, unless they are there."""
    lab.cache.mkdir(parents=True, exist_ok=True)
    build(lab, default_image(lab))
    (lab.cache / "blank.raw").write_bytes(bytes(_BLANK_SIZE))


def default_image(lab: Lab) -> Path:
    return lab.cache / f"guest-{_version()}.raw"


def upload(cloud: Cloud) -> None:
    """Put both images into a cloud's Glance; the caller's thread must be in the cloud's network."""
    properties = {"hw_rng_model": "virtio"}
    add_image(cloud, GUEST_IMAGE, default_image(cloud.lab), properties)
    add_image(cloud, BLANK_IMAGE, cloud.lab.cache / "blank.raw", properties)


def _version() -> str:
    """Changes when the image would."""
    sources = [Path(__file__), Path(__file__).with_name("init")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def build(
    lab: Lab, target: Path, fill_memory_mb: int = 0, fill_disk_mb: int = 0, sum_every: int = 20
) -> None:
    """Make a guest's disk image, unless the file exists.

    Args:
        fill_memory_mb: MiB of memory the guest fills with data that does not compress
        fill_disk_mb: MiB of its disk likewise, from 64 MiB on; the volume must have the room
        sum_every: seconds between two lines with the SHA-256 sums of both; 0 prints one
    """
    if target.exists():
        return
    kernel, modules = _kernel(lab)
    switches = f"fill_memory_mb={fill_memory_mb} fill_disk_mb={fill_disk_mb} sum_every={sum_every}"
    with tempfile.TemporaryDirectory(dir=lab.cache) as name:
        work = Path(name)
        _initrd(work, modules)
        menu = "DEFAULT sv2m\nPROMPT 0\nTIMEOUT 0\nLABEL sv2m\n  KERNEL vmlinuz\n  INITRD initrd.gz\n"
        (work / "syslinux.cfg").write_text(f"{menu}  APPEND {_PARAMETERS} {switches}\n")
        disk = work / "disk.raw"
        _partition(disk)
        blocks, offset = str(_PARTITION_SECTORS // 2), _PARTITION_START * _SECTOR
        start = str(_PARTITION_START)
        _call("mkfs.fat", "-F", "16", "-n", "SV2M", "-h", start, "--offset", start, str(disk), blocks)
        files = [str(kernel), str(work / "initrd.gz"), str(work / "syslinux.cfg")]
        _call("mcopy", "-i", f"{disk}@@{offset}", *files, "::/")
        _call("mren", "-i", f"{disk}@@{offset}", f"::/{kernel.name}", "::/vmlinuz")
        _call("syslinux", "--install", "--offset", str(offset), str(disk))
        disk.replace(target)


def _partition(disk: Path) -> None:
    """An empty disk with a master boot record: one active FAT16 partition."""
    entry = struct.pack(
        "<B3sB3sII",
        *(_BOOTABLE, b"\xfe\xff\xff", _FAT16_LBA, b"\xfe\xff\xff"),
        *(_PARTITION_START, _PARTITION_SECTORS),
    )
    with disk.open("wb") as file:
        file.write(_MBR.read_bytes()[:440].ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa")
        file.truncate(SIZE)


def _initrd(work: Path, modules: Path) -> None:
    root = work / "root"
    for directory in ("bin", "modules"):
        (root / directory).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    os.symlink("busybox", root / "bin" / "sh")
    shutil.copy(Path(__file__).with_name("init"), root / "init")
    (root / "init").chmod(0o755)
    found = {path.name: path for path in modules.rglob("*.ko")}
    for name in MODULES:
        shutil.copy(found[f"{name}.ko"], root / "modules")
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    command = ["/bin/busybox", "cpio", "-o", "-H", "newc"]
    archive = subprocess.run(
        command, input="\n".join(names).encode(), cwd=root, capture_output=True, check=True
    )
    (work / "initrd.gz").write_bytes(gzip.compress(archive.stdout, mtime=0))


def _kernel(lab: Lab) -> tuple[Path, Path]:
    """Debian's cloud kernel and its modules, fetched by apt, unpacked in the cache, not installed."""
    unpacked = lab.cache / "kernel"
    if not unpacked.exists():
        work = lab.cache / "kernel.new"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        shown = _call("apt-cache", "depends", "--important", _META_PACKAGE)
        package = next(
            word for word in shown.split() if word.startswith("linux-image-") and word != _META_PACKAGE
        )
        _call("apt-get", "download", "-q", package, cwd=work)
        _call("dpkg-deb", "-x", str(next(work.glob("*.deb"))), str(work / "root"))
        next(work.glob("*.deb")).unlink()
        (work / "root").rename(unpacked)
        shutil.rmtree(work)
    return next((unpacked / "boot").glob("vmlinuz-*")), unpacked / "lib" / "modules"


class ImageError(Exception):
    """A program that builds the guest's image failed; the message holds what it said."""


def _call(*command: str, cwd: Path | None = None) -> str:
    # mtools would otherwise ask questions when it finds the image's geometry odd.
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ImageError(
            f"{' '.join(command[:3])} ended with {result.returncode}: {result.stderr.strip()[-800:]}"
        )
    return result.stdout
