# SPDX-License-Identifier: Apache-2.0
"""A suspended Nova placeholder that becomes A's guest. See :class:`sv2m.agent.hypervisor.Landing`.

Nova leaves a SUSPENDED server alone, so that between the removal of its saved state and the commit nothing of
Nova touches the domain. The domain is restored from B's own XML: name, uuid, paths and secrets are all B's.
"""

from __future__ import annotations

import json
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import libvirt
from oslo_log import log

from sv2m.agent import private
from sv2m.agent.libvirt import luks, saveimage, secrets
from sv2m.agent.libvirt.compare import compare
from sv2m.agent.libvirt.connection import Connection
from sv2m.agent.libvirt.domain import DomainDisk, DomainFacts, facts
from sv2m.agent.libvirt.fifo import FifoWriter
from sv2m.agent.libvirt.monitor import command
from sv2m.agent.libvirt.qemunbd import NbdDisk, kill_leftovers
from sv2m.errors import Conflict, HypervisorError, NotFound, ServiceUnavailable
from sv2m.protocol.luks import container

LOG = log.getLogger(__name__)

#: QEMU's announcements: milliseconds before the first, from one to the next at most, how many, by how much longer each
#: waits than the one before. Ten in some five seconds.
_ANNOUNCED: dict[str, Any] = {"initial": 50, "max": 1000, "rounds": 10, "step": 100}
#: How libvirt shows a domain whose QEMU it is still starting, or restoring.
_STARTING = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP]
#: Code of the error that says so for good.
GONE = "restored-guest-gone"
ET.register_namespace("nova", "http://openstack.org/xmlns/libvirt/nova/1.1")


class LibvirtLanding:
    """One placeholder that is being filled.

    ``workdir/domain.json`` remembers what a restarted agent must know: the libvirt id of the restored domain
    (which tells it from one that somebody booted later under the same uuid), whether the placeholder was
    taken, and the secrets that were defined.
    """

    def __init__(self, connection: Connection, server_id: str, workdir: Path, timeout: float) -> None:
        self._connection = connection
        self._server_id = server_id
        self._workdir = workdir
        self._timeout = timeout
        self._cancelled = threading.Event()
        self._xml = ""
        self._facts: DomainFacts | None = None
        self._wanted: dict[int, Mapping[str, Any]] = {}
        self._disks: list[NbdDisk] = []
        self._fifo = FifoWriter(workdir / "restore.fifo", self._why_stop)
        self._restore: threading.Thread | None = None
        self._error: str | None = None
        self._ended = False
        self._notes: dict[str, Any] = _read_notes(workdir)

    @property
    def _domain(self) -> Any:
        return self._connection.domain(self._server_id)

    def check(self, needs: Mapping[str, Any]) -> None:
        """See the port."""
        domain = self._domain
        if domain.isActive() or not domain.hasManagedSaveImage(0):
            raise Conflict(f"the placeholder {self._server_id} is not suspended", code="placeholder-not-suspended")
        xml = domain.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        self._facts = facts(xml)
        compare(needs, self._facts)
        self._wanted = {disk["index"]: disk for disk in needs["disks"]}
        self._xml = _with_sysinfo(xml, needs["sysinfo"])

    def open_disks(self, keys: Mapping[int, bytearray]) -> Sequence[NbdDisk]:
        """See the port. ``check`` came before."""
        if self._facts is None:
            raise HypervisorError("the placeholder was not checked")
        encrypted = {disk.index for disk in self._facts.disks if disk.encrypted}
        if encrypted != set(keys):
            raise Conflict(f"keys came for disks {sorted(keys)}, encrypted are {sorted(encrypted)}")
        domain = self._domain
        handle = self._connection.handle()
        self._note(taken=True)
        domain.managedSaveRemove(0)
        for disk in self._facts.disks:
            eik = keys.get(disk.index)
            if eik is not None and secrets.ensure(handle, disk, eik):
                self._note(secrets=[*self._notes.get("secrets", []), disk.secret_uuid])
            path, kind = self._path(handle, disk)
            if eik is not None and disk.format == "raw":
                wanted = self._wanted[disk.index]
                made = container(wanted["cipher"], wanted["key_size"])
                luks.make(path, wanted["size"], made, eik, self._timeout)
            socket_path = self._workdir / f"disk-{disk.index}.sock"
            opened = NbdDisk(
                index=disk.index,
                path=path,
                kind=kind,
                fmt=disk.format,
                eik=eik,
                socket_path=socket_path,
                timeout=self._timeout,
            )
            self._disks.append(opened)
            opened.start()
        return self._disks

    def close_disks(self) -> None:
        """See the port."""
        for disk in self._disks:
            disk.close()

    def start_restore(self) -> None:
        """See the port. QEMU starts as soon as libvirt has read the header."""
        self._fifo.make()
        self._restore = threading.Thread(target=self._run_restore, name=f"restore-{self._server_id}", daemon=True)
        self._restore.start()
        self._fifo.open(self._timeout)
        self._fifo.write(memoryview(saveimage.header(self._xml)))

    def write_memory(self, data: memoryview) -> None:
        """See the port."""
        self._fifo.write(data)

    def finish_restore(self) -> None:
        """See the port."""
        self._fifo.close()
        if self._restore is None:
            raise HypervisorError("nothing was restored")
        deadline = time.monotonic() + self._timeout
        while self._restore.is_alive():
            self._restore.join(0.2)
            if self._cancelled.is_set():
                raise HypervisorError("the restore was cancelled", code="aborted")
            if time.monotonic() > deadline:
                raise HypervisorError("QEMU did not finish the restore in time")
        if self._error is not None:
            raise HypervisorError(f"the restore failed: {self._error}")
        domain = self._domain
        if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
            raise HypervisorError("the restored domain is not paused")
        self._note(id=domain.ID())

    def check_restored(self) -> None:
        """See the port. Whoever hears that the guest is gone lets A's copy run: doubt is another error."""
        try:
            domain = self._domain
            same = bool(domain.isActive()) and domain.ID() == self._notes.get("id")
            state, reason = domain.state() if same else (None, None)
        except NotFound:
            same, state, reason = False, None, None
        except (HypervisorError, libvirt.libvirtError) as error:
            raise ServiceUnavailable(f"libvirt cannot be asked for server {self._server_id}: {error}") from error
        paused = state == libvirt.VIR_DOMAIN_PAUSED
        runs = state == libvirt.VIR_DOMAIN_RUNNING and reason != libvirt.VIR_DOMAIN_RUNNING_BOOTED
        if not same or not (paused or runs):
            raise HypervisorError(f"the restored guest of server {self._server_id} is gone", code=GONE)

    def resume(self) -> None:
        """See the port."""
        self.check_restored()
        try:
            domain = self._domain
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()
                self._announce(domain)
        except libvirt.libvirtError as error:
            raise HypervisorError(f"resuming server {self._server_id}: {error.get_error_message()}") from error

    def _announce(self, domain: Any) -> None:
        """Have QEMU tell the network's switches where the guest's MAC addresses are now.

        It does so by itself when the guest is loaded; but then the port is down yet. Now it goes up, and Neutron's
        agent takes some seconds for that.
        """
        try:
            command(domain, "announce-self", **_ANNOUNCED)
        except HypervisorError as error:
            LOG.warning("Server %s runs, and its network is not told: %s", self._server_id, error)

    def cancel(self) -> None:
        """See the port."""
        self._cancelled.set()
        for disk in self._disks:
            disk.kill()

    def undo(self) -> None:
        """See the port. Nothing here asks what was done before: it also serves after the agent was killed."""
        self.cancel()
        kill_leftovers(self._workdir)
        self._fifo.spoil()
        if not self._notes.get("taken"):
            return  # refused as it was found: it is none of ours
        self._destroy()
        handle = self._connection.handle()
        for secret_uuid in self._notes.get("secrets", []):
            secrets.remove(handle, secret_uuid)

    def _destroy(self) -> None:
        """End the domain, when no restore of it is under way.

        Its stream was ended, so that the restore comes to its own end, good or bad. That is waited for, and if it does
        not come, everything stays: libvirt (9.0 at least) crashes, with everything it does for other servers, when a
        domain is destroyed while it is being restored. The undoing is tried again later.
        """
        self._await_end_of_restore()
        try:
            domain = self._domain
            if domain.isActive():
                domain.destroy()
        except NotFound:
            pass  # Nova has deleted the placeholder: that is what was wanted
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
                raise HypervisorError(f"ending the restored domain: {error.get_error_message()}") from error

    def _await_end_of_restore(self) -> None:
        deadline = time.monotonic() + self._timeout
        while self._restores():
            if time.monotonic() > deadline:
                raise HypervisorError(
                    f"the restore of server {self._server_id} was given up, and libvirt does not end it",
                    code="restore-does-not-end",
                    remedy="Nothing at first: it is looked at again. If it stays so, end the domain's QEMU by its "
                    "process id; not by `virsh destroy`, which may crash libvirt amid a restore.",
                )
            time.sleep(0.1)

    def _restores(self) -> bool:
        """Whether a restore is under way, this process's or that of an agent that was killed."""
        if self._restore is not None and self._restore.is_alive():
            return True
        try:
            domain = self._domain
            return bool(domain.isActive()) and domain.state() == _STARTING
        except NotFound:
            return False
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_TIMEOUT:
                return True  # the restore holds the domain's job
            return _is_gone(error)

    def _run_restore(self) -> None:
        try:
            handle = self._connection.handle()
            handle.restoreFlags(str(self._fifo.path), None, libvirt.VIR_DOMAIN_SAVE_PAUSED)
        except libvirt.libvirtError as error:
            self._error = error.get_error_message()
        except (SystemError, UnicodeDecodeError):
            # QEMU quotes the stream when it refuses it, and libvirt-python cannot read a message that is not UTF-8.
            self._error = "QEMU refuses the guest, in words that are no text"
        except HypervisorError as error:
            self._error = error.message
        finally:
            self._ended = True

    def _why_stop(self) -> str | None:
        if self._cancelled.is_set():
            return "it was cancelled"
        if self._ended:
            return self._error or "libvirt took the guest as complete"
        return None

    def _path(self, handle: Any, disk: DomainDisk) -> tuple[str, str]:
        """Path and type of a disk, out of B's own domain and nothing else."""
        if isinstance(disk.source, str):
            return disk.source, disk.kind
        pool, volume = disk.source
        try:
            found = handle.storagePoolLookupByName(pool).storageVolLookupByName(volume)
            block = found.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK
            return found.path(), "block" if block else "file"
        except libvirt.libvirtError as error:
            raise HypervisorError(f"disk {disk.target}: {error.get_error_message()}") from error

    def _note(self, **values: Any) -> None:
        self._notes.update(values)
        path = self._workdir / "domain.json"
        new = path.with_suffix(".new")
        with private.create(new) as file:
            json.dump(self._notes, file)
        new.replace(path)


def _is_gone(error: libvirt.libvirtError) -> bool:
    """False for a domain that is gone: nothing restores it. :raises HypervisorError: that cannot be seen."""
    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
        return False
    raise HypervisorError(f"whether a restore is under way: {error.get_error_message()}") from error


def _read_notes(workdir: Path) -> dict[str, Any]:
    try:
        notes = json.loads((workdir / "domain.json").read_text())
    except FileNotFoundError:
        return {}
    return notes if isinstance(notes, dict) else {}


def _with_sysinfo(xml: str, sysinfo: Mapping[str, str]) -> str:
    """B's XML with A's SMBIOS strings where both have one.

    Nova's version stands there, and the guest has read it.
    """
    root = ET.fromstring(xml)  # noqa: S314 - this host's own libvirt wrote it
    changed = False
    for name, value in sysinfo.items():
        entry = root.find(f"sysinfo[@type='smbios']/system/entry[@name='{name}']")
        if entry is not None and value and entry.text != value:
            entry.text = value
            changed = True
    return ET.tostring(root, encoding="unicode") if changed else xml
