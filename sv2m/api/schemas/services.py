# SPDX-License-Identifier: Apache-2.0
"""What a caller may say about services: nothing."""

from __future__ import annotations

from typing import Any

LIST_QUERY: dict[str, Any] = {"type": "object", "maxProperties": 0}
