# SPDX-License-Identifier: Apache-2.0
"""The agent's one connection to libvirt.

Opened again after a loss, with a thread that delivers its events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import libvirt
from oslo_log import log

from sv2m.errors import HypervisorError, NotFound

LOG = log.getLogger(__name__)

_EVENT_LOOP = threading.Lock()
_event_loop_runs = False


def _run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _ensure_event_loop() -> None:
    """libvirt's event loop is one per process and must exist before the first connection is opened."""
    global _event_loop_runs  # noqa: PLW0603 - as the loop itself: one per process
    with _EVENT_LOOP:
        if not _event_loop_runs:
            # Errors come as exceptions; libvirt's own copy on stderr would only repeat them.
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True).start()
            _event_loop_runs = True


def _close(handle: Any) -> None:
    if handle is not None:
        try:
            handle.close()
        except libvirt.libvirtError as error:
            LOG.debug("closing libvirt: %s", error)


class Connection:
    """libvirt at one URI.

    :param uri: e.g. ``qemu:///system``.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._handle: Any = None
        self._resumed: dict[str, Callable[[], None]] = {}

    def start(self) -> None:
        """Open the connection. :raises HypervisorError: libvirt does not answer."""
        self.handle()

    def stop(self) -> None:
        """Close the connection."""
        with self._lock:
            handle, self._handle = self._handle, None
        _close(handle)

    def handle(self) -> Any:
        """The live ``virConnect``; a lost one is opened anew.

        :raises HypervisorError: libvirt does not answer.
        """
        with self._lock:
            if self._handle is not None and self._alive(self._handle):
                return self._handle
            # A lost one keeps its socket and its callback until it is closed.
            lost, self._handle = self._handle, None
            _close(lost)
            _ensure_event_loop()
            handle = None
            try:
                handle = libvirt.open(self._uri)
                handle.setKeepAlive(5, 6)
                handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
            except libvirt.libvirtError as error:
                _close(handle)
                raise HypervisorError(f"libvirt at {self._uri}: {error.get_error_message()}") from error
            self._handle = handle
            return handle

    def domain(self, server_id: str) -> Any:
        """The domain of a Nova server (its uuid is the server's id).

        :raises NotFound: this host has no such domain.
        :raises HypervisorError: libvirt does not answer.
        """
        try:
            return self.handle().lookupByUUIDString(server_id)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise NotFound(f"this host's libvirt has no domain of server {server_id}") from error
            raise HypervisorError(f"libvirt at {self._uri}: {error.get_error_message()}") from error

    def watch_resumed(self, server_id: str, callback: Callable[[], None]) -> None:
        """Call ``callback`` (from the event thread) whenever anybody lets this domain run."""
        with self._lock:
            self._resumed[server_id] = callback

    def unwatch(self, server_id: str) -> None:
        """End :meth:`watch_resumed`."""
        with self._lock:
            self._resumed.pop(server_id, None)

    @staticmethod
    def _alive(handle: Any) -> bool:
        try:
            return bool(handle.isAlive())
        except libvirt.libvirtError:
            return False

    def _lifecycle(self, _connection: Any, domain: Any, event: int, _detail: int, _opaque: object) -> None:
        if event in (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_STARTED):
            with self._lock:
                callback = self._resumed.get(domain.UUIDString())
            if callback is not None:
                callback()
