# SPDX-License-Identifier: Apache-2.0
"""Fuzzes one target in this process: ``python -m tests.fuzz.run TARGET DIRECTORY [libFuzzer's options]``.

What the target raises is noted in DIRECTORY/findings and does not end the run; a hang or too much memory ends it, and
libFuzzer leaves the input beside the findings.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sys
import traceback
from pathlib import Path

import atheris

from tests.fuzz import target as targets

#: Of all mutations, the share that the target's own mutator makes.
_OWN_SHARE = 0.6


class Findings:
    """A file for each kind of error: where it was raised, and the first input that raised it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: set[str] = set()

    def note(self, data: bytes, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = str(error) if isinstance(error, targets.BrokenPromiseError) else ""
        kind = f"{type(error).__name__} {Path(frame.filename).name}:{frame.lineno} {said}"
        if kind in self._seen:
            return
        self._seen.add(kind)
        name = hashlib.sha256(kind.encode()).hexdigest()[:16]
        (self._directory / name).write_bytes(data)
        (self._directory / f"{name}.txt").write_text(f"{kind}\n\n{''.join(traceback.format_exception(error))}")


def main() -> None:
    name, directory, *options = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["sv2m", "signxml"], enable_loader_override=False):
        target = targets.load(name)
    work = Path(directory)
    for folder in ("corpus", "findings", "seeds"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (work / "seeds" / f"seed-{number}").write_bytes(seed)
    findings = Findings(work / "findings")

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except Exception as error:
            findings.note(data, error)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if target.mutate is not None and rng.random() < _OWN_SHARE:
            return target.mutate(data, rng)[:size]
        changed: bytes = atheris.Mutate(data, size)
        return changed

    arguments = [
        sys.argv[0],
        f"-max_len={target.max_bytes}",
        "-timeout=60",
        # On a busy machine anything may be slow for once; a hang is what takes longer than the line above says.
        "-report_slow_units=60",
        "-print_final_stats=1",
        "-len_control=0",
        "-use_value_profile=0",
        f"-artifact_prefix={work}/findings/",
        *options,
        *(str(work / folder) for folder in ("corpus", "seeds")),
        str(targets.CORPUS / name),
    ]
    (targets.CORPUS / name).mkdir(parents=True, exist_ok=True)
    atheris.Setup(arguments, check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
