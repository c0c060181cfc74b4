# SPDX-License-Identifier: Apache-2.0
"""What a person has decided about a migration of which no program can say how it ends, by the word of their cloud.

It is signed like a message, and sent to nobody: it stays with the evidence of the cloud that made it. The peer hears
what follows from it, in a Receipt or a Closure that says that a person decided; why, it need not hear, for the reason
is the person's own text. Who they are is not in it either: the peer deals with a cloud, and a cloud answers for its
people. Their user id is in the audit log of their own cloud.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sv2m.protocol import fields as check

#: At A: the VM runs here again; it is removed here without B's word. At B: it is lost; it runs. At either: a message is
#: believed although the key that has signed it was reported as compromised after the commit.
TAKEN_BACK: Final = "taken-back"
LET_GO: Final = "let-go"
LOST: Final = "lost"
RUNNING: Final = "running"
ACCEPT_KEY: Final = "accept-key"

#: Which declarations are a source's, and which a destination's.
OF_ROLE: Final = {"source": (TAKEN_BACK, LET_GO, ACCEPT_KEY), "destination": (LOST, RUNNING, ACCEPT_KEY)}
#: Characters of a reason, at most.
MAX_REASON: Final = 1000


@dataclass(frozen=True)
class Declaration:
    """One decision.

    :param cloud: name of the cloud whose people decided, and that signs.
    :param kind: one of the words above.
    :param reason: why, in the words of whoever decided.
    :param prepared_digest: SHA-384 of the signed Prepared, release_digest and receipt_digest likewise; 48 zero bytes
        where there was none yet.
    :param at: when it was decided, UTC.
    """

    migration_id: str
    sid: bytes
    cloud: str
    kind: str
    reason: str
    prepared_digest: bytes
    release_digest: bytes
    receipt_digest: bytes
    at: datetime

    def __post_init__(self) -> None:
        check.identifier("Declaration.migration_id", self.migration_id)
        check.octets("Declaration.sid", self.sid, check.SHA384_BYTES)
        check.name("Declaration.cloud", self.cloud)
        check.one_of("Declaration.kind", self.kind, {kind for kinds in OF_ROLE.values() for kind in kinds})
        check.text("Declaration.reason", self.reason, 1, MAX_REASON)
        for name in ("prepared_digest", "release_digest", "receipt_digest"):
            check.octets(f"Declaration.{name}", getattr(self, name), check.SHA384_BYTES)
        object.__setattr__(self, "at", check.instant("Declaration.at", self.at))


#: What is signed and is no message, by the name of its root.
STATEMENTS: Final[dict[str, type[Declaration]]] = {"Declaration": Declaration}
