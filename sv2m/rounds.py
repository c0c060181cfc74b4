# SPDX-License-Identifier: Apache-2.0
"""Something that is looked at again and again, in a thread of its own."""

from __future__ import annotations

import abc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sv2m import errors

LOG = logging.getLogger(__name__)


class Rounds(abc.ABC):
    """Looks at once when it is started, and from then on from time to time.

    :param doing: what a look does, for the log: "Reading the load".
    :param interval: seconds between the end of a look and the next.
    """

    def __init__(self, doing: str, interval: float) -> None:
        self._doing = doing
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        #: What :meth:`each` has told of whom.
        self._told: dict[str, str] = {}

    @abc.abstractmethod
    def look(self) -> object:
        """One look. Whatever it raises is logged; what was due is still due at the next."""

    @contextmanager
    def each(self, what: str, kind: type[Exception] | tuple[type[Exception], ...] = Exception) -> Iterator[None]:
        """Around what is done for one of many: whatever goes wrong with it keeps nobody from the others.

        The same failure of the same one is told once, until it is over.

        :param what: which one, for the log: "Migration 6b6b…".
        :param kind: what is its own failure; anything else is that of the whole look.
        """
        try:
            yield
        except kind as error:
            said = f"{type(error).__name__}: {error}"
            level = logging.DEBUG if self._told.get(what) == said else logging.WARNING
            self._told[what] = said
            LOG.log(level, "%s: %s", what, said, exc_info=not isinstance(error, errors.SV2MError))
        else:
            self._told.pop(what, None)

    def start(self) -> None:
        """Begin to look; nothing happens if it has begun."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Wait for a look under way, and look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except errors.SV2MError as error:
                LOG.error("%s failed: %s (%s). %s", self._doing, error, error.code, error.remedy)
            except Exception:
                # A database or broker that is away for a moment must not end the looking.
                LOG.exception("%s failed; trying again", self._doing)
            self._stop.wait(self._interval)
