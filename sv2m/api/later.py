# SPDX-License-Identifier: Apache-2.0
"""What the API goes on with after it has answered.

It needs the caller's token, which is in no row and no message: so it is done in this very process, by a thread of its
own, and a process that is told to stop finishes it. One that is killed leaves a row that goes stale.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from oslo_log import log

from sv2m import errors

LOG = log.getLogger(__name__)


class Later:
    """A few threads, and a short queue before them.

    :param threads: pieces of work at a time.
    :param most: pieces that may be in hand or wait; a long queue would outlast the rows of what waits in it.
    """

    def __init__(self, threads: int = 8, most: int = 32) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="later")
        self._places = threading.BoundedSemaphore(most)

    def begin(self, prepare: Callable[[], Callable[[], None]]) -> None:
        """Take a place, prepare, and do what ``prepare`` returns when its turn comes.

        :raises sv2m.errors.ServiceUnavailable: there is no place; nothing was prepared.
        """
        if not self._places.acquire(blocking=False):
            raise errors.ServiceUnavailable(
                "too many migrations are being begun in this process of sv2m-api; nothing was begun",
                remedy="Ask again in a few seconds.",
            )
        try:
            self._threads.submit(self._run, prepare())
        except BaseException:
            self._places.release()
            raise

    def close(self) -> None:
        """Take nothing more, and wait for what has begun."""
        self._threads.shutdown()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except errors.SV2MError as error:
            LOG.warning("%s (%s)", error, error.code)
        except Exception:
            LOG.exception("What was to be done after the answer failed unexpectedly")
        finally:
            self._places.release()
