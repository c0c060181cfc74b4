# SPDX-License-Identifier: Apache-2.0
"""Cloud A with its real engine, CMM and MAM, and a server that runs; opposite it a destination that may be hostile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import peers
from sv2m.gateway.client import Answer
from sv2m.mam import server as mam
from sv2m.mam.keyring import Keyring
from tests.attacks import federation
from tests.attacks.federation import A, B, ThirdParty, authority, identity
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.unit.engine.leaving import Source


class CloudA(Source):
    """A source with an agreement with B; ``peer`` is B."""

    def __init__(self) -> None:
        self.third_party = ThirdParty()
        federation.enrol(A)
        super().__init__()
        with database.session() as session:
            for row in peers.list_page(session, limit=10):
                peers.update(session, row.id, ca_pem=authority().pem)

    def begin(self) -> None:
        super().begin()
        self.opposite(identity(B))
        cmm = self.third_party.cmm()
        signing = mam.Endpoint(Keyring(cmm, federation.Barbican(A), 0))
        around = self.recorder.around
        self.services = dataclasses.replace(self.services, cmm=around("cmm", cmm), mam=around("mam", signing))

    def opposite(self, who: Identity, to: Identity | None = None) -> None:
        """Who answers to A's calls from now on.

        :param to: as whom they know A.
        """
        self.peer.side = clouds.Side("destination", who, to or identity(A))

    def in_the_middle(self, kind: str, change: Callable[[bytes], bytes | None], times: int = 1) -> None:
        """Somebody changes B's answer to messages of this kind on its way, so many times; None drops it."""
        honest, left = self.peer.send, [None] * times

        def changed(url: str, ca: str, document: bytes) -> Answer:
            answer = honest(url, ca, document)
            if p.peek(document).kind != kind or not left or answer.document is None:
                return answer
            left.pop()
            return Answer(True, change(answer.document))

        self.peer.send = changed  # type: ignore[method-assign]

    def lies(self, word: str, **fields: Any) -> None:
        """B signs other fields in this word of it than it should."""
        side = self.peer.side
        local = side.local

        def lying(event: p.Event) -> Any:
            actions = local(event)
            if word in side.transcript:
                message = dataclasses.replace(side.transcript[word].message, **fields)
                side.transcript[word] = side.sign(message)
            return actions

        side.local = lying  # type: ignore[method-assign]

    @property
    def runs_here(self) -> bool:
        """The server runs at A, or can be let run: nobody else has it."""
        return self.at_home

    @property
    def waits(self) -> bool:
        """The server stands still at A, and A says that it has given it away."""
        return self.nova.exists and self.nova.status == "PAUSED" and self.row.phase == "released"
