# SPDX-License-Identifier: Apache-2.0
"""Before anything is promised: do both clouds' certificates last until it is over?

Whoever signs first signs all of a session, so both certificates have to outlive the offer's NotAfter, and by a margin:
until then the commit may come, and after it everything has to be signed, heard and shown to others.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sv2m import errors
from sv2m.engine.work import Work
from sv2m.protocol.states import DESTINATION_ROLE, SOURCE_ROLE

_ENDS: Final = {SOURCE_ROLE: errors.SourceCertificateEnds, DESTINATION_ROLE: errors.DestinationCertificateEnds}


def check_both(work: Work) -> None:
    """That both certificates outlive the offer's NotAfter.

    :raises CertificateEnds: one does not; names it.
    """
    not_after = work.row.not_after
    if not_after is None:
        raise errors.IllegalTransition("there is no offer that certificates could outlive")
    check_own(work, not_after)
    check_peer(work, not_after, work.peer_chain())


def check_own(work: Work, not_after: datetime) -> None:
    """That the certificate with which this cloud signs the migration outlives a NotAfter.

    :raises CertificateEnds: it does not.
    """
    chain_b64 = work.services.cmm.certificate(work.context)["chain_b64"]
    _check(work, not_after, chain_b64, work.row.role, f"of {work.services.conf.cloud_name}")


def check_peer(work: Work, not_after: datetime, chain: Sequence[bytes]) -> None:
    """That a chain that the peer showed, and that was validated, outlives a NotAfter.

    :param chain: DER, leaf first.
    :raises CertificateEnds: it does not.
    """
    role = DESTINATION_ROLE if work.row.role == SOURCE_ROLE else SOURCE_ROLE
    chain_b64 = [base64.b64encode(part).decode("ascii") for part in chain]
    _check(work, not_after, chain_b64, role, f"of {work.row.peer}")


def _check(work: Work, not_after: datetime, chain_b64: list[str], role: str, whose: str) -> None:
    first = work.services.cmm.first_to_end(work.context, chain_b64, work.peer.ca_pem)
    ends = datetime.fromisoformat(first["not_after"])
    margin = timedelta(seconds=work.services.conf.engine.certificate_margin)
    if ends >= not_after + margin:
        return
    raise _ENDS[role](
        f"the {role}'s certificate ({whose}) cannot be relied on to the end: on its path certificate {first['serial']} "
        f"({first['subject']}) ends on {ends:%Y-%m-%d %H:%M} UTC, and the offer's NotAfter is "
        f"{not_after:%Y-%m-%d %H:%M} UTC, which it has to outlive by {margin}",
        remedy=f"Renew the certificate {whose} (sv2m-manage certificate renew, at that cloud) and start a new "
        "migration; or make offers shorter ([engine] offer_lifetime, at the source).",
    )
