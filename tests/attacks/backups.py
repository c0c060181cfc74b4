# SPDX-License-Identifier: Apache-2.0
"""A cloud's database as it was some time ago, while the cloud itself has gone on."""

from __future__ import annotations

import shutil
from pathlib import Path

from sv2m.db import engine as database


class Backup:
    """The database as it is now; :meth:`restore` brings it back. Nothing may use it meanwhile."""

    def __init__(self) -> None:
        self._file = Path(database.current().url.database or "")
        self._copy = self._file.with_suffix(".backup")
        database.current().dispose()
        shutil.copy(self._file, self._copy)

    def restore(self) -> None:
        database.current().dispose()
        shutil.copy(self._copy, self._file)
