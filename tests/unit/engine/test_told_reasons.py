# SPDX-License-Identifier: Apache-2.0
"""What the operator reads when something around the engine failed: which, not that something was unexpected."""

from __future__ import annotations

import oslo_messaging
import pytest
from oslo_db import exception as db_exc

from tests.unit.engine.leaving import Source


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (oslo_messaging.MessagingTimeout("no reply"), "broker"),
        (oslo_messaging.MessageDeliveryFailure("no broker"), "broker"),
        (db_exc.DBConnectionError(Exception("gone")), "database"),
    ],
)
def test_a_broker_or_a_database_that_is_away_is_called_so(source: Source, error: Exception, word: str) -> None:
    source.recorder.failing["km.wrap"] = error
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", "service-unavailable")
    assert row.fault == "host" and word in (row.error_message or "")
    assert source.at_home
