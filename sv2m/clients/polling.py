# SPDX-License-Identifier: Apache-2.0
"""Looking again and again at something that another service works on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from sv2m import errors

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds from one look to the next: at first, and when it takes long.
_SHORTEST, _LONGEST = 0.25, 5.0
#: Looks after which the pauses begin to grow, and by how much each does: a wait of a minute has some 60 looks.
_OFTEN, _GROWTH = 20, 1.05
#: That a service fails so many times in a row is no accident.
_TOO_OFTEN = 5


class Polling:
    """The looks of one wait: less and less often, and not ended by one that fails.

    :param sleep: waits so many seconds.
    """

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._pause = _SHORTEST
        self._looks = 0
        self._failed = 0

    def look(self, read: Callable[[], T]) -> T | None:
        """What ``read`` returns; None where the service failed, as one may now and then.

        :raises sv2m.errors.HostError: it has failed too often in a row.
        """
        try:
            found = read()
        except errors.HostError as error:
            self._failed += 1
            if self._failed >= _TOO_OFTEN:
                raise
            LOG.warning("%s; looking again", error)
            return None
        self._failed = 0
        return found

    def pause(self) -> None:
        """Wait for the next look."""
        self._looks += 1
        if self._looks > _OFTEN:
            self._pause = min(_LONGEST, self._pause * _GROWTH)
        self._sleep(self._pause)
