# SPDX-License-Identifier: Apache-2.0
"""Protocols with verdicts that everybody knows: what keeps the search honest.

Each file begins with its source and ``% Verdict: SAFE`` or ``UNSAFE``, and, where it is another one, the verdict in the
untyped model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from formal.hlpsl import HlpslError, parse
from formal.knowledge import Matching
from formal.model import instantiate
from formal.search import Bounds, Result, search

_VERDICT: Final = re.compile(r"^% Verdict(?P<untyped> untyped)?: (?P<verdict>SAFE|UNSAFE)\b", re.MULTILINE)


@dataclass(frozen=True)
class Known:
    """A protocol, and what is known of it in one of the two models."""

    path: Path
    typed: bool
    verdict: str

    def search(self) -> Result:
        """What this search says."""
        return search(instantiate(parse(self.path.read_text())), Bounds(Matching(typed=self.typed)))


def known() -> Iterator[Known]:
    """All of them.

    :raises HlpslError: a file does not say its verdict.
    """
    for path in sorted(Path(__file__).parent.glob("*.hlpsl")):
        verdicts = list(_VERDICT.finditer(path.read_text()))
        if not verdicts:
            raise HlpslError(f"{path.name} does not say what is known of it")
        for match in verdicts:
            yield Known(path, match["untyped"] is None, match["verdict"])
