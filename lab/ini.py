# SPDX-License-Identifier: Apache-2.0
"""Writing the services' configuration files; they hold passwords, so only their owner can read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

Value = str | int | float | bool | Path
Sections = Mapping[str, Mapping[str, Value]]


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that never has more permissions than `mode`, and that a reader finds whole, old or new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    new.replace(path)


def write_ini(path: Path, sections: Sections) -> None:
    """Write an oslo.config file."""
    lines: list[str] = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        lines += [
            f"{name} = {str(value).lower() if isinstance(value, bool) else value}"
            for name, value in options.items()
        ]
        lines.append("")
    write_private(path, "\n".join(lines))
