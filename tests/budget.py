# SPDX-License-Identifier: Apache-2.0
"""The time that the whole suite has, after which it ends by itself and names what did not run.

Whatever cuts a run off from outside says nothing about it, and leaves the clouds running. ``tools/run-tests`` sets the
end; without it there is none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator

import pytest

#: Seconds since the epoch at which no test begins any more.
END = "SV2M_TESTS_END"
#: Seconds that the last test may take beyond the end, before it is stopped.
_GRACE = 60.0


def _left() -> float | None:
    end = os.environ.get(END)
    return float(end) - time.time() if end else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """No test takes longer than what is left."""
    left = _left()
    if left is not None:
        usual = float(item.config.getini("timeout") or 0) or left + _GRACE
        item.add_marker(pytest.mark.timeout(min(usual, max(left, 0.0) + _GRACE)))
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of a test that begins too late: it fails, so that its name is in the summary."""
    left = _left()
    if left is not None and left <= 0:
        pytest.fail("not run: the suite's time was over", pytrace=False)
