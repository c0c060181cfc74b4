# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from tests.unit.db.conftest import database

__all__ = ["database"]
