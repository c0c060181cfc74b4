# SPDX-License-Identifier: Apache-2.0
"""Which phase follows which: everything that decides what may happen when is in this file, as literal data.

A table says, for each phase, which input leads to which phase; what is not listed may not happen. Inputs are
the peer's messages (with their outcome where that decides: TokenBA2.accepted) and our own side's events
(events.py). The database column ``phase`` holds these strings; the diagrams in the documentation are drawn
from these tables by mermaid().

The safety of a migration can be read off them: at A, ``released`` is left only by B's signed Receipt, so A
never resumes the VM on its own after it; at B, ``resuming`` is entered only by A's Release and left only by
having resumed or by never being able to, and from ``undoing`` no way leads back.

Where nobody is left who could sign, a person decides (PERSONS): B's host is lost, or B itself. Each of these events
leads on from ``released`` or ``resuming`` once, and from where it leads no way comes back; what their cloud then
signs, it answers for. As long as what they say is true, the same holds as without them.
"""

from __future__ import annotations

from typing import Final

SOURCE_ROLE: Final = "source"
DESTINATION_ROLE: Final = "destination"

Table = dict[str, dict[str, str]]

SOURCE: Final[Table] = {
    "requested": {"OfferRequested": "offered", "Failed": "withdrawing"},
    "offered": {"TokenBA1": "offered", "TokenDue": "authenticated", "Failed": "withdrawing"},
    "authenticated": {
        "TokenBA2.accepted": "accepted",
        "TokenBA2.refused": "refused",
        "Failed": "withdrawing",
    },
    "accepted": {"KeysWrapped": "enveloped", "Failed": "withdrawing"},
    "enveloped": {"EnvelopeTaken": "transferring", "Failed": "withdrawing"},
    "transferring": {"Sealed": "transferred", "Failed": "withdrawing"},
    "transferred": {"Prepared": "prepared", "Failed": "withdrawing"},
    "prepared": {"Committed": "released", "Failed": "withdrawing"},
    # From here no way back but by B's signature, or by a person who answers for it.
    "released": {
        "Receipt.resumed": "receipted",
        "Receipt.refused": "returning",
        "TakenBack": "reclaiming",
        "LetGo": "relinquishing",
    },
    "receipted": {"Removed": "closing"},
    "closing": {"Told": "closed"},
    "returning": {"Undone": "returned"},
    # The VM runs here again. What B then says is kept, and changes nothing.
    "reclaiming": {"Undone": "reporting"},
    "reporting": {"Receipt.resumed": "reporting", "Receipt.refused": "reporting", "Told": "reclaimed"},
    # The VM is gone here. B may run it still, and is asked.
    "relinquishing": {"Relinquished": "inquiring"},
    "inquiring": {"Receipt.resumed": "receipted", "Receipt.refused": "relinquished", "Told": "relinquished"},
    "withdrawing": {"Undone": "telling"},
    "telling": {"Told": "withdrawn"},
    "closed": {},
    "returned": {},
    "reclaimed": {},
    "relinquished": {},
    "withdrawn": {},
    "refused": {},
}

DESTINATION: Final[Table] = {
    "none": {"Offer": "none", "ChallengeDue": "challenged"},
    "challenged": {"TokenAB": "authenticated", "Failed": "undoing"},
    "authenticated": {"RoomHeld": "accepted", "RoomRefused": "refused", "Failed": "undoing"},
    "accepted": {"Envelope": "landing", "Closure.withdrawn": "undoing", "Failed": "undoing"},
    "landing": {"LandingReady": "receiving", "Closure.withdrawn": "undoing", "Failed": "undoing"},
    "receiving": {"Transfer": "verifying", "Closure.withdrawn": "undoing", "Failed": "undoing"},
    "verifying": {"Restored": "prepared", "Closure.withdrawn": "undoing", "Failed": "undoing"},
    "prepared": {
        "Release": "resuming",
        "Closure.withdrawn": "undoing",
        "Closure.taken-back": "undoing",
        "Failed": "undoing",
    },
    # The VM is ours now: either it runs here, or it is gone for good and A gets that signed. If A has taken its own
    # back meanwhile, what has not run here is undone; what runs cannot be unmade.
    "resuming": {
        "Resumed": "resumed",
        "CannotResume": "undoing",
        "DeclaredRunning": "resumed",
        "DeclaredLost": "undoing",
        "Closure.taken-back": "resuming",
    },
    "resumed": {"Undone": "settled", "Closure.removed": "closing", "Closure.taken-back": "closing"},
    "closing": {"Undone": "closed"},
    "settled": {"Closure.removed": "closed", "Closure.taken-back": "closed"},
    # A Release that comes too late is answered by Receipt.refused, once; A then takes its VM back.
    "undoing": {
        "Undone": "undone",
        "Release": "undoing",
        "Closure.withdrawn": "undoing",
        "Closure.taken-back": "undoing",
    },
    "undone": {"Release": "undone", "Closure.withdrawn": "undone", "Closure.taken-back": "undone"},
    "closed": {},
    "refused": {},
}

TABLES: Final[dict[str, Table]] = {SOURCE_ROLE: SOURCE, DESTINATION_ROLE: DESTINATION}
FIRST: Final = {SOURCE_ROLE: "requested", DESTINATION_ROLE: "none"}
#: Phases in which nothing is left to do. (A Release may still reach an undone destination, a Closure a settled one.)
FINAL: Final = {
    SOURCE_ROLE: ("closed", "returned", "reclaimed", "relinquished", "withdrawn", "refused"),
    DESTINATION_ROLE: ("closed", "settled", "undone", "refused"),
}

#: Events that no program brings about by itself: a person has decided, where nobody else can.
PERSONS: Final = {SOURCE_ROLE: ("TakenBack", "LetGo"), DESTINATION_ROLE: ("DeclaredLost", "DeclaredRunning")}

#: What each role receives. A message of the other direction is never taken, not even our own, reflected.
RECEIVES: Final = {
    SOURCE_ROLE: ("TokenBA1", "TokenBA2", "Prepared", "Receipt"),
    DESTINATION_ROLE: ("Offer", "TokenAB", "Envelope", "Transfer", "Release", "Closure"),
}
#: What B answers; None where the answer has no message and is only that it was taken. (A Closure that says that A took
#: its VM back is answered by the Receipt, if there is one: A keeps it as evidence.)
REPLIES: Final[dict[str, str | None]] = {
    "Offer": "TokenBA1",
    "TokenAB": "TokenBA2",
    "Envelope": None,
    "Transfer": "Prepared",
    "Release": "Receipt",
    "Closure": None,
}
#: The message by which each role shows the other one its certificate. Whoever signed it signs all of the session.
INTRODUCES: Final = {SOURCE_ROLE: "Offer", DESTINATION_ROLE: "TokenBA1"}
#: Messages that are taken after the commit, or whose sender may be past it: A's from its Release on, and B's answer to
#: that. Their sender's certificate is judged as of the moment at which it was introduced: nothing that changes with
#: time may keep them from being heard, because nothing else says where the VM is.
FROM_THE_COMMIT: Final = ("Release", "Receipt", "Closure")
#: What A asks again in each phase in which it waits for B.
ASKS: Final = {
    "offered": "Offer",
    "authenticated": "TokenAB",
    "enveloped": "Envelope",
    "transferred": "Transfer",
    "released": "Release",
    "closing": "Closure",
    "telling": "Closure",
    "reporting": "Closure",
    "inquiring": "Release",
}
#: Events that answer a document which must have been received in the same phase.
NEEDS: Final = {"ChallengeDue": "Offer", "TokenDue": "TokenBA1"}


def mermaid(role: str) -> str:
    """The role's table as a Mermaid state diagram (stateDiagram-v2), for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST[role]}"]
    for phase, row in TABLES[role].items():
        by_target: dict[str, list[str]] = {}
        for trigger, target in row.items():
            by_target.setdefault(target, []).append(trigger)
        lines += [f"    {phase} --> {target}: {', '.join(names)}" for target, names in by_target.items()]
    lines += [f"    {phase} --> [*]" for phase in FINAL[role]]
    return "\n".join(lines) + "\n"
