# SPDX-License-Identifier: Apache-2.0
"""Files that are the agent's alone, under whatever umask it was started.

They are in directories of mode 0700 already. But a directory may be opened by somebody's hand, and then not even which
server goes where should be read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

#: For programs that the agent starts, and that make a socket: mode 0600 is left of it.
UMASK = 0o177


def create(path: Path) -> IO[str]:
    """Open a file for writing, empty and of mode 0600; what was there under this name is not written into.

    :raises OSError: it cannot be.
    """
    path.unlink(missing_ok=True)
    return open(path, "x", opener=_opener)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
