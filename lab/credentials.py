# SPDX-License-Identifier: Apache-2.0
"""The passwords of one cloud: random, made when first asked for, in one file that only its owner can read."""

from __future__ import annotations

import json
import secrets
import threading
from pathlib import Path

from lab.ini import write_private


class Credentials:
    """Passwords by name, kept in a JSON file of mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def password(self, name: str) -> str:
        """The password called `name`; a new one is made, and written down, when there is none yet."""
        with self._lock:
            known: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
            if name not in known:
                known[name] = secrets.token_urlsafe(24).replace("-", "x").replace("_", "y")
                write_private(self._path, json.dumps(known, indent=1))
            return known[name]
