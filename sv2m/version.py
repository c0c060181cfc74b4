# SPDX-License-Identifier: Apache-2.0
"""Which release this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The release, as the package says it."""
    return metadata.version("sv2m")
