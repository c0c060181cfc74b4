# SPDX-License-Identifier: Apache-2.0
"""What checking a folder found: one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: It holds; it does not, or something is missing that must be there; something that the reader should know.
GOOD: Final = "good"
BAD: Final = "BAD"
NOTE: Final = "note"
_LONGEST = 500


@dataclass(frozen=True)
class Finding:
    """One line.

    :param subject: the file, or what it is about.
    :param result: :data:`GOOD`, :data:`BAD` or :data:`NOTE`.
    """

    subject: str
    result: str
    text: str


@dataclass
class Report:
    """The lines, in the order in which they were found."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, subject: str, result: str, text: str) -> None:
        """One line more."""
        self.findings.append(Finding(plain(subject), result, plain(text)))

    @property
    def good(self) -> bool:
        """Whether nothing is off."""
        return all(finding.result != BAD for finding in self.findings)

    @property
    def bad(self) -> list[Finding]:
        """What is off."""
        return [finding for finding in self.findings if finding.result == BAD]


def plain(text: str) -> str:
    """One short line for a terminal: parts of it may be the words of whoever made the folder."""
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return shown if shown.isprintable() else "".join(one if one.isprintable() else "?" for one in shown)
