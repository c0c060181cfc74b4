# SPDX-License-Identifier: Apache-2.0
"""Certificates that are not the peer's, or not any more: at the door, and in the middle of a migration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sv2m import errors
from sv2m import protocol as p
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB
from tests.attacks.federation import A, B, C, certified, identity, otherwise
from tests.unit.cmm.authority import AUTHORITY, EVIDENCE, Certified, root

DAY = timedelta(days=1)


#: What is wrong -> the certificate that somebody shows for a cloud of this name.
WRONG: dict[str, Callable[[str], Certified]] = {
    "expired": lambda name: otherwise(name, ends=datetime.now(UTC) - DAY),
    "not yet valid": lambda name: otherwise(name, begins=datetime.now(UTC) + DAY),
    "another name": lambda name: certified(C),
    "two names": lambda name: otherwise(name, names=[*_names(name), *_names(C)]),
    "no name": lambda name: otherwise(name, names=[]),
    "wildcard": lambda name: otherwise(name, names=_names("*.sv2m")),
    "a CA's use": lambda name: otherwise(name, use=AUTHORITY),
    "TLS only": lambda name: otherwise(name, use={"digital_signature": True}),
    "a CA itself": lambda name: otherwise(name, use=EVIDENCE, names=_names(name), is_ca=True),
    "self-signed": root,
    "a CA of the same name": lambda name: otherwise(name, ca=root()),
    "a peer as CA": lambda name: otherwise(name, ca=certified(C)),
    "P-256": lambda name: otherwise(name, key=ec.generate_private_key(ec.SECP256R1())),
    "RSA 2048": lambda name: otherwise(name, key=rsa.generate_private_key(65537, 2048)),
}


def _names(name: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name)]


@pytest.mark.parametrize("wrong", [one for one in WRONG if one not in ("P-256", "RSA 2048")])
def test_at_bs_door(b: CloudB, wrong: str) -> None:
    b.source = b.sender(me=identity(A, WRONG[wrong](A)))
    assert isinstance(b.refusal(b.source.make("Offer")), errors.InvalidCertificate)
    assert b.rows == 0


@pytest.mark.parametrize("wrong", ["expired", "another name", "self-signed", "a CA of the same name"])
def test_at_as_door(a: CloudA, wrong: str) -> None:
    a.opposite(identity(B, WRONG[wrong](B)))
    row = a.run()
    assert (row.error_code, row.status) == ("invalid-certificate", "failed")
    assert a.runs_here
    assert a.nova.paused == 0


def test_revoked_before_it_knocks(b: CloudB, monkeypatch: pytest.MonkeyPatch) -> None:
    b.third_party.revoked.append(certified(A))
    assert "revoked" in b.refusal(b.source.make("Offer")).message
    assert b.rows == 0


def test_revoked_in_the_middle(b: CloudB) -> None:
    """What A said before stands; nothing more of it is believed, and nothing of its server stays."""
    b.source.run("Envelope")
    b.third_party.revoked.append(certified(A))
    assert "revoked" in b.refusal(b.source.make("Transfer")).message
    assert b.look(later=timedelta(hours=3)).phase == "undone"
    assert b.untouched


def test_expired_in_the_middle(b: CloudB) -> None:
    b.source.run("TokenAB")
    b.third_party.later = timedelta(days=365)
    assert "ended" in b.refusal(b.source.make("Envelope")).message


def test_bs_certificate_is_revoked_in_the_middle(a: CloudA) -> None:
    a.before("edm.start_source", lambda: a.third_party.revoked.append(certified(B)))
    row = a.run()
    assert (row.error_code, row.phase) == ("invalid-certificate", "withdrawn")
    assert a.runs_here


def test_bs_certificate_is_revoked_after_the_commit(a: CloudA) -> None:
    """A gave its server away while B was believed, and believes what B signs under that certificate to the end."""
    release = a.peer._release

    def revoke() -> str:
        a.third_party.revoked.append(certified(B))
        return release()

    a.peer._release = revoke  # type: ignore[method-assign]
    assert a.run().phase == "closed"
    assert a.gone
    assert a.third_party.revoked


def test_without_a_revocation_list_nobody_is_believed(b: CloudB) -> None:
    b.third_party.away = True
    error = b.refusal(b.source.make("Offer"))
    assert error.code == "revocation-unknown"
    assert b.rows == 0
    b.third_party.away = False
    b.source.run()
    b.carry_on()
    assert b.runs


def test_a_certificate_that_changes_in_the_middle(b: CloudB) -> None:
    """A renewal, or somebody else with a good certificate in A's name: a migration ends as it began."""
    b.source.run("TokenAB")
    renewed = identity(A, otherwise(A))
    document = b.source.make("Envelope")
    forged = p.sign(p.encode(p.decode(document)), renewed.key, renewed.chain)
    assert isinstance(b.refusal(forged), errors.InvalidSignature)
    b.source.run()
    b.carry_on()
    assert b.runs
