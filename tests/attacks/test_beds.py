# SPDX-License-Identifier: Apache-2.0
"""Without an attacker everything goes well: otherwise a refusal would prove nothing."""

from __future__ import annotations

from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB


def test_an_honest_source_is_believed(b: CloudB) -> None:
    b.source.run()
    assert b.carry_on().phase == "closed"
    assert b.runs


def test_an_honest_destination_is_believed(a: CloudA) -> None:
    assert a.run().phase == "closed"
    assert a.gone
