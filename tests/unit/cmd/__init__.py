# SPDX-License-Identifier: Apache-2.0
"""The programs. They choose native threads before anything else is imported; here other tests may have come first."""

from __future__ import annotations

from oslo_service import backend

backend._reset_backend()
