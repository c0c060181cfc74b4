# SPDX-License-Identifier: Apache-2.0
"""What a restarted agent must know of its jobs.

One small file each, replaced as a whole. No keys, no plaintext.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from oslo_log import log

from sv2m.agent import private

LOG = log.getLogger(__name__)


class Journal:
    """The agent's state directory.

    :param root: private directory of the agent; made, mode 0700, by :meth:`start`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._jobs = root / "jobs"
        self._work = root / "work"

    def start(self) -> None:
        """Make the directories. They are the agent's alone: sockets in them carry a guest's plaintext."""
        for directory in (self._root, self._jobs, self._work):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            directory.chmod(0o700)

    def write(self, migration_id: str, entry: dict[str, Any]) -> None:
        """Write a job's entry; it is on the disk when this returns."""
        path = self._path(migration_id)
        new = path.with_suffix(".new")
        with private.create(new) as file:
            json.dump(entry, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        directory = os.open(self._jobs, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every job: migration id and entry."""
        for path in sorted(self._jobs.glob("*.json")):
            try:
                yield str(UUID(path.stem)), json.loads(path.read_text())
            except ValueError as error:
                LOG.error("the journal's file %s cannot be read: %s", path, error)

    def remove(self, migration_id: str) -> None:
        """Remove a job's entry and working directory; nothing to do if they are gone."""
        shutil.rmtree(self.workdir_path(migration_id), ignore_errors=True)
        self._path(migration_id).unlink(missing_ok=True)

    def workdir(self, migration_id: str) -> Path:
        """A job's private directory for sockets and FIFOs; made if it is not there."""
        path = self.workdir_path(migration_id)
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def workdir_path(self, migration_id: str) -> Path:
        """Where :meth:`workdir` is, made or not. UUID() refuses anything that could be another path."""
        return self._work / str(UUID(migration_id))

    def _path(self, migration_id: str) -> Path:
        return self._jobs / f"{UUID(migration_id)}.json"
