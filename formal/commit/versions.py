# SPDX-License-Identifier: Apache-2.0
"""The commit as shipped, and versions of it that lack one thing each, in which something forbidden must be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from formal.commit import tables
from sv2m.protocol import states


@dataclass(frozen=True)
class Version:
    """What is searched.

    :param lacks: in words.
    :param without: rules of rules.maude that do not hold.
    :param faults: that may happen beside the ordinary ones.
    :param changed: (role, phase) -> transitions that are added to the shipped table.
    """

    name: str
    lacks: str
    without: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    changed: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    def tables(self, *more_faults: str) -> str:
        """The module TABLES of this version."""
        changed = {role: dict(table) for role, table in states.TABLES.items()}
        for (role, phase), row in self.changed.items():
            changed[role][phase] = {**changed[role][phase], **row}
        return tables.module(changed, without=self.without, faults=(*self.faults, *more_faults))


_A, _B = states.SOURCE_ROLE, states.DESTINATION_ROLE

SHIPPED: Final = Version("as shipped", "nothing")

#: B's host, or all of B, may be lost for good at any moment, and then people decide.
_LOST: Final = ("persons", "journal-lost", "b-lost")
PERSONS: Final = Version("persons", "nothing: what people decide is true", faults=_LOST)

#: In each of these something forbidden is reachable.
WEAKENED: Final = (
    Version(
        "A's patience",
        "A takes its server back when no Receipt comes",
        changed={(_A, "released"): {"Failed": "withdrawing"}},
    ),
    Version(
        "no Release",
        "B lets the server run once it is prepared",
        changed={(_B, "prepared"): {"Failed": "resuming"}},
    ),
    Version("release-durable", "the Release leaves A before A's row says so", without=("release-durable",)),
    Version("one-outcome", "B may sign a refusal after it let the server run", without=("one-outcome",)),
    Version(
        "unchanged-checked",
        "A does not look whether its server has run since it was sealed",
        without=("unchanged-checked",),
    ),
    Version(
        "journal-first",
        "B's agent writes down that the guest may run only after it let it run",
        without=("journal-first",),
    ),
    Version("ran-is-not-gone", "a guest that ran and ended counts as one that never ran", without=("ran-is-not-gone",)),
    Version(
        "doubt-is-not-gone",
        "a hypervisor that does not answer counts as a guest that is gone",
        without=("doubt-is-not-gone",),
    ),
    Version(
        "receipt-after-resume",
        "B signs the Receipt when it has seen the guest, before it lets it run",
        without=("receipt-after-resume",),
    ),
    Version(
        "compare-and-swap",
        "an engine that stalled writes over what its heir wrote",
        without=("compare-and-swap",),
        faults=("second-engine",),
    ),
    Version("lost", "a person at B says that it never ran there, and it did", without=("DeclaredLost",), faults=_LOST),
    Version(
        "running", "a person at B says that it ran there, and it did not", without=("DeclaredRunning",), faults=_LOST
    ),
    Version("taken-back", "a person at A says that B is gone, and it is not", without=("TakenBack",), faults=_LOST),
    Version("let-go", "a person at A says that B has it, and it has not", without=("LetGo",), faults=_LOST),
)
#: In each of these nothing forbidden need be reachable, but some states have no good end.
STUCK: Final = (
    Version("ask-again", "A says each thing once", without=("ask-again",)),
    Version(
        "B gives up",
        "B undoes what it should resume, and signs nothing",
        changed={(_B, "resuming"): {"Failed": "undoing"}},
    ),
    Version(
        "as-introduced",
        "each message is judged by its sender's certificate as it is when it comes, also after the commit",
        without=("as-introduced",),
    ),
    Version(
        "people",
        "a key is stolen, and nobody decides whether what it signed counts",
        without=("people",),
        faults=("stolen-key",),
    ),
    Version("journal-lost", "B's host loses its disk, and its agent's journal with it", faults=("journal-lost",)),
)
