# SPDX-License-Identifier: Apache-2.0
"""What time does to trust: certificates end, are renewed, are revoked, lists run out, CAs are away, agreements change.

In every phase, at both clouds, in both roles. Before the commit A's server goes on where it was. After it the migration
comes to its end all the same: the server at B, or at A by B's signed word. Only of a stolen key nobody knows who signed
with it, and that is for people to decide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from sv2m import errors
from sv2m import protocol as p
from sv2m.cmm.identity import RetiredKeys
from sv2m.db import engine as database
from sv2m.db import migrations, owing, peers
from sv2m.engine import decisions, retention
from sv2m.engine.decisions import Decision
from sv2m.gateway.client import Answer
from sv2m.protocol import states
from tests.attacks import federation
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB
from tests.attacks.federation import A, B, Barbican, certified, identity, otherwise
from tests.protocol.certificates import Identity
from tests.unit.cmm.authority import root

Cloud = CloudA | CloudB
STOLEN = x509.ReasonFlags.key_compromise


def _revoke(cloud: Cloud, peer: str, reason: x509.ReasonFlags | None = None) -> None:
    cloud.third_party.revoked.append(certified(peer))
    cloud.third_party.reason = reason


def _end(cloud: Cloud, peer: str) -> None:
    cloud.third_party.later = timedelta(days=365)


def _let_the_list_run_out(cloud: Cloud, peer: str) -> None:
    """The one that the cloud has kept as well."""
    cloud.third_party.stale = True
    cloud.third_party.later = timedelta(days=2)


def _take_the_ca_away(cloud: Cloud, peer: str) -> None:
    """For so long that the list that the cloud has kept has ended."""
    cloud.third_party.away = True
    cloud.third_party.later = timedelta(days=2)


def _replace_the_ca(cloud: Cloud, peer: str) -> None:
    with database.session() as session:
        peers.update(session, peer, ca_pem=root().pem)


def _replace_the_ca_and_its_list(cloud: Cloud, peer: str) -> None:
    _replace_the_ca(cloud, peer)
    _take_the_ca_away(cloud, peer)


#: What becomes of the peer's certificate, or of what vouches for it.
CHANGES: dict[str, Callable[[Cloud, str], None]] = {
    "it ends": _end,
    "it is revoked": _revoke,
    "it is superseded": lambda cloud, peer: _revoke(cloud, peer, x509.ReasonFlags.superseded),
    "the peer ceases to be": lambda cloud, peer: _revoke(cloud, peer, x509.ReasonFlags.cessation_of_operation),
    "the list runs out": _let_the_list_run_out,
    "the CA is away": _take_the_ca_away,
    "the agreement has another CA": _replace_the_ca,
    "another CA, and the old one is gone": _replace_the_ca_and_its_list,
}
#: After which word each of A's words is due.
AFTER = {"TokenAB": "Offer", "Envelope": "TokenAB", "Transfer": "Envelope", "Release": "Transfer", "Closure": "Release"}
LATER = timedelta(hours=3)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("word", ["TokenAB", "Envelope", "Transfer"])
def test_before_the_commit_b_takes_nothing_more_of_a(b: CloudB, word: str, change: str) -> None:
    b.source.run(AFTER[word])
    CHANGES[change](b, A)
    assert isinstance(b.refusal(b.source.make(word)), errors.InvalidCertificate | errors.HostError)
    assert b.look(LATER).phase == "undone"
    assert b.untouched


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("word", ["Release", "Closure"])
def test_from_the_commit_on_b_hears_a_to_the_end(b: CloudB, word: str, change: str) -> None:
    b.source.run(AFTER[word])
    CHANGES[change](b, A)
    b.source.run()
    assert b.carry_on().phase == "closed"
    assert b.runs


@pytest.mark.parametrize("change", CHANGES)
def test_a_release_that_comes_after_that_and_after_b_gave_up_gets_bs_refusal(b: CloudB, change: str) -> None:
    b.source.run("Transfer")
    release = b.source.make("Release")
    CHANGES[change](b, A)
    assert b.look(LATER).phase == "undone"
    receipt = b.source.hear("Release", b.post(release))
    assert isinstance(receipt, p.Receipt)
    assert receipt.outcome == "refused"
    assert b.untouched


@pytest.mark.parametrize("change", CHANGES)
def test_a_withdrawal_is_heard_and_b_gives_back_what_it_held(b: CloudB, change: str) -> None:
    b.source.run("Envelope")
    CHANGES[change](b, A)
    b.post(b.source.withdrawal())
    assert b.carry_on().phase == "undone"
    assert b.untouched


def every_time(a: CloudA, kind: str, do: Callable[[], Any]) -> None:
    """Something happens whenever B has this word of A, and before A has B's answer."""
    honest = a.peer.send

    def send(url: str, ca: str, document: bytes) -> Answer:
        if p.peek(document).kind == kind:
            do()
        return honest(url, ca, document)

    a.peer.send = send  # type: ignore[method-assign]


def when(a: CloudA, kind: str, do: Callable[[], Any]) -> None:
    """It happens the first time."""
    todo = [do]
    every_time(a, kind, lambda: todo.pop()() if todo else None)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("word", ["Offer", "TokenAB", "Envelope", "Transfer"])
def test_before_the_commit_as_server_goes_on(a: CloudA, word: str, change: str) -> None:
    when(a, word, lambda: CHANGES[change](a, B))
    row = a.run()
    assert (row.phase, row.status) == ("withdrawn", "failed")
    assert row.error_code in ("invalid-certificate", "revocation-unknown")
    assert a.runs_here


@pytest.mark.parametrize("change", CHANGES)
def test_a_looks_once_more_before_it_commits(a: CloudA, change: str) -> None:
    """B has said that it holds the server, and A has believed it. It is the last moment at which a no costs nothing."""
    when(a, "Transfer", lambda: a.before("mam.verify", lambda: CHANGES[change](a, B)))
    row = a.run()
    assert (row.phase, row.error_code) in {("withdrawn", "invalid-certificate"), ("withdrawn", "revocation-unknown")}
    assert "Release" not in a.documents
    assert a.runs_here


@pytest.mark.parametrize("change", CHANGES)
def test_after_the_commit_a_hears_bs_receipt(a: CloudA, change: str) -> None:
    when(a, "Release", lambda: CHANGES[change](a, B))
    assert a.run().phase == "closed"
    assert a.gone
    assert a.recorder.calls.count("servers.unpause") == 0


@pytest.mark.parametrize("change", CHANGES)
def test_after_the_commit_a_hears_bs_refusal(a: CloudA, change: str) -> None:
    a.peer.resumes = False
    when(a, "Release", lambda: CHANGES[change](a, B))
    assert a.run().phase == "returned"
    assert a.runs_here


# -- what a cloud does to its own ------------------------------------------------------------------------------------


class _Sweeps:
    """Keys of retired certificates are destroyed as soon as nothing needs them; what Barbican was told to delete."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def store(self, *_: Any, **__: Any) -> str:
        raise NotImplementedError

    def delete(self, ref: str) -> None:
        self.deleted.append(ref)

    def renew(self, name: str) -> None:
        federation.renew(name)
        RetiredKeys(self).sweep()


@pytest.mark.parametrize("word", ["Offer", "TokenAB", "Envelope", "Transfer", "Release", "Closure"])
def test_a_renews_its_certificate_in_the_middle(a: CloudA, word: str) -> None:
    """Whoever signed first signs all: B verifies every word with the certificate that the Offer has shown."""
    keys = _Sweeps()
    when(a, word, lambda: keys.renew(A))
    assert a.run().phase == "closed"
    assert a.gone
    assert keys.deleted == []
    RetiredKeys(keys).sweep()
    assert keys.deleted == [Barbican.REF]


@pytest.mark.parametrize("word", ["Offer", "TokenAB", "Envelope", "Transfer", "Release"])
def test_b_renews_its_certificate_in_the_middle(b: CloudB, word: str) -> None:
    keys = _Sweeps()
    b.source.run(word)
    keys.renew(B)
    b.source.run("Release")
    assert b.carry_on().phase == "settled"
    # A may still ask for the Receipt.
    RetiredKeys(keys).sweep()
    assert keys.deleted == []
    b.source.run()
    assert b.carry_on().phase == "closed"
    assert b.runs
    RetiredKeys(keys).sweep()
    assert keys.deleted == [Barbican.REF]


def test_b_renews_its_certificate_while_it_signs_the_challenge(b: CloudB) -> None:
    """What names one certificate and is signed with another nobody would believe; the next try has the new one."""
    b.before("mam.sign", lambda: federation.renew(B))
    assert b.refusal(b.source.make("Offer")).code == "service-unavailable"
    assert b.rows == 0
    reply = b.post(b.source.side.document("Offer"))
    assert reply is not None
    assert p.claimed_party(reply).chain[0] != certified(B).der
    p.verify(reply, "TokenBA1", p.claimed_party(reply).chain[0])


@pytest.mark.parametrize("word", ["Offer", "TokenAB", "Envelope", "Transfer", "Release"])
def test_the_agreement_is_disabled_in_the_middle(b: CloudB, word: str) -> None:
    """What runs under it goes on; deleted it cannot be."""
    b.source.run(word)
    b.carry_on()
    if word != "Offer":
        b.change_agreement(A, enabled=False, url="https://elsewhere", tls_ca_pem=root().pem)
    with pytest.raises(errors.Conflict), database.session() as session:
        peers.delete(session, A)
    b.source.run()
    assert b.carry_on().phase == "closed"
    assert b.runs


@pytest.mark.parametrize("word", ["Offer", "TokenAB", "Envelope", "Transfer", "Release"])
def test_the_evidence_is_not_purged_before_all_was_said(b: CloudB, word: str) -> None:
    b.source.run(word)
    row = b.carry_on()
    with database.session() as session:
        asked = owing.may_be_asked(session, row.id)
    assert retention.why_kept(row, datetime.now(UTC) + timedelta(days=9999), asked=asked)


# -- certificates that would end too soon ----------------------------------------------------------------------------


def _ends(name: str, after: timedelta) -> federation.Certified:
    return otherwise(name, ends=datetime.now(UTC) + after)


#: An offer of A lives two hours, and has to be outlived by one.
TOO_SOON, LONG_ENOUGH = timedelta(hours=2, minutes=50), timedelta(hours=3, minutes=10)


def test_a_offers_nothing_that_its_certificate_does_not_outlive(a: CloudA) -> None:
    federation.renew(A, _ends(A, TOO_SOON))
    a.begin()
    row = a.run()
    assert (row.error_code, row.fault, row.phase) == ("source-certificate-ends", "policy", "withdrawn")
    assert A in row.error_message
    assert "NotAfter" in row.error_message
    assert A in row.error_remedy
    assert a.peer.sent == []
    assert a.runs_here


def test_a_does_not_go_on_with_a_b_whose_certificate_ends_too_soon(a: CloudA) -> None:
    a.opposite(identity(B, _ends(B, TOO_SOON)))
    row = a.run()
    assert (row.error_code, row.phase) == ("destination-certificate-ends", "withdrawn")
    assert B in row.error_message
    assert [kind for kind, _ in a.peer.sent] == ["Offer"]
    assert a.runs_here


def test_a_ca_between_that_ends_too_soon_counts_as_well(a: CloudA) -> None:
    now = datetime.now(UTC)
    between = federation.authority().certify("between", ca=True, begins=now - timedelta(days=1), ends=now + TOO_SOON)
    a.third_party.between = between
    who = identity(B, otherwise(B, ca=between))
    a.opposite(Identity(who.name, who.key, (*who.chain, between.der)))
    row = a.run()
    assert row.error_code == "destination-certificate-ends"
    assert "CN=between" in row.error_message
    assert a.runs_here


def test_long_enough_is_long_enough(a: CloudA) -> None:
    mine = federation.renew(A, _ends(A, LONG_ENOUGH))
    a.begin()
    a.opposite(identity(B, _ends(B, LONG_ENOUGH)), identity(A, mine))
    assert a.run().phase == "closed"
    assert a.gone


def test_b_accepts_nothing_that_as_certificate_does_not_outlive(b: CloudB) -> None:
    b.source = b.sender(me=identity(A, _ends(A, TOO_SOON)), lifetime=timedelta(hours=2))
    b.source.run("Offer")
    answer = b.source.say("TokenAB")
    assert isinstance(answer, p.TokenBA2)
    assert isinstance(answer.decision, p.Refused)
    assert answer.decision.code == "source-certificate-ends"
    assert b.row.status == "refused"
    assert b.untouched


def test_b_accepts_nothing_that_its_own_certificate_does_not_outlive(b: CloudB) -> None:
    short = federation.renew(B, _ends(B, TOO_SOON))
    b.source = b.sender(to=identity(B, short), lifetime=timedelta(hours=2))
    b.source.run("Offer")
    answer = b.source.say("TokenAB")
    assert isinstance(answer, p.TokenBA2)
    assert isinstance(answer.decision, p.Refused)
    assert answer.decision.code == "destination-certificate-ends"
    assert b.untouched


@pytest.mark.parametrize("lifetime", [timedelta(days=2), timedelta(days=365 * 2)])
def test_an_offer_that_would_bind_b_for_too_long(b: CloudB, lifetime: timedelta) -> None:
    b.source = b.sender(lifetime=lifetime)
    error = b.refusal(b.source.make("Offer"))
    assert error.code == "offer-lives-too-long"
    assert b.rows == 0


# -- a stolen key ----------------------------------------------------------------------------------------------------

THEFTS = [x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise, x509.ReasonFlags.aa_compromise]


def _decide(cloud: Cloud, migration_id: str) -> None:
    decision = Decision(decisions.ACCEPT_KEY, "an operator", "asked by telephone", datetime.now(UTC))
    with database.session() as session:
        row = migrations.get(session, migration_id)
        state = {**row.state, **decision.to_state()}
        migrations.advance(session, row.id, row.phase, row.generation, row.phase, state=state)


@pytest.mark.parametrize("reason", THEFTS, ids=lambda reason: reason.value)
def test_as_key_is_stolen_before_b_has_the_release(b: CloudB, reason: x509.ReasonFlags) -> None:
    """Whoever has the key could sign a Release of a server that A has not given away: two would run."""
    b.source.run("Transfer")
    release = b.source.make("Release")
    _revoke(b, A, reason)
    assert b.refusal(release).code == "peer-key-compromised"
    assert (b.row.phase, b.row.error_code, b.row.fault) == ("prepared", "peer-key-compromised", "peer")
    assert b.agent.runs == 0
    # What was heard once stays heard: an engine that begins anew while the CA is kept away does not let the thief in.
    b.third_party.away = True
    b.services = dataclasses.replace(b.services, cmm=b.recorder.around("cmm", b.third_party.cmm()))
    b.restart()
    assert b.refusal(release).code == "peer-key-compromised"
    _decide(b, b.source.id)
    b.source.run()
    row = b.carry_on()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", None)
    assert b.runs


def test_as_key_is_stolen_and_b_has_given_up(b: CloudB) -> None:
    """A thief's Release must not use up the one refusal that lets A's server go on."""
    b.source.run("Transfer")
    release = b.source.make("Release")
    _revoke(b, A, STOLEN)
    assert b.look(LATER).phase == "undone"
    assert b.refusal(release).code == "peer-key-compromised"
    assert "Receipt" not in b.documents
    _decide(b, b.source.id)
    receipt = b.source.hear("Release", b.post(release))
    assert isinstance(receipt, p.Receipt)
    assert receipt.outcome == "refused"


@pytest.mark.parametrize("resumes", [True, False])
def test_bs_key_is_stolen_after_the_commit(a: CloudA, resumes: bool) -> None:
    """Whoever has the key could sign that B runs it, or that it does not: A would delete it, or run a second one."""
    a.peer.resumes = resumes
    seen: list[tuple[str, str | None, bool]] = []

    def look() -> None:
        seen.append((a.row.phase, a.row.error_code, a.waits))
        if len(seen) == 2:
            _decide(a, a.id)

    when(a, "Release", lambda: _revoke(a, B, STOLEN))
    every_time(a, "Release", look)
    row = a.run()
    assert seen == [("released", None, True), *[("released", "peer-key-compromised", True)] * 2]
    if resumes:
        assert (row.phase, row.error_code) == ("closed", None)
        assert a.gone
    else:
        assert row.phase == "returned"
        assert a.runs_here


def test_before_the_commit_a_stolen_key_is_like_any_that_was_revoked(a: CloudA) -> None:
    when(a, "Transfer", lambda: _revoke(a, B, STOLEN))
    assert a.run().error_code == "invalid-certificate"
    assert a.runs_here


def test_an_old_list_that_tells_of_the_theft_is_heard(b: CloudB) -> None:
    """A list past its nextUpdate clears nobody, but a key that was stolen stays so."""
    b.source.run("Transfer")
    _revoke(b, A, STOLEN)
    _let_the_list_run_out(b, A)
    assert b.refusal(b.source.make("Release")).code == "peer-key-compromised"


# -- whoever signed first signs all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["TokenAB", "Envelope", "Transfer", "Release", "Closure"])
def test_another_certificate_of_as_signs_a_word(b: CloudB, word: str) -> None:
    """As good a certificate as the one that the Offer has shown, and not the same."""
    b.source.run(AFTER[word])
    b.carry_on()
    other = identity(A, otherwise(A))
    honest = b.source.make(word)
    forged = p.sign(p.encode(p.decode(honest)), other.key, other.chain)
    assert isinstance(b.refusal(forged), errors.InvalidSignature)
    b.source.run()
    assert b.carry_on().phase == "closed"
    assert b.runs


@pytest.mark.parametrize("word", ["TokenAB", "Transfer", "Release"])
def test_another_certificate_of_bs_signs_an_answer(a: CloudA, word: str) -> None:
    other = identity(B, otherwise(B))
    a.in_the_middle(word, lambda reply: p.sign(p.encode(p.decode(reply)), other.key, other.chain))
    row = a.run()
    if word == "Release":
        assert row.phase == "closed"
    else:
        assert row.error_code == "invalid-signature"
        assert a.runs_here


def test_the_words_of_the_commit_are_those_that_the_phases_after_it_take() -> None:
    """At A whatever a phase takes that a failure does not end; at B the Release and all that may follow Prepared."""
    past = [row for row in states.SOURCE.values() if "Failed" not in row]
    heard = {on.partition(".")[0] for row in past for on in row} & set(states.RECEIVES["source"])
    after = {on.partition(".")[0] for on in states.DESTINATION["prepared"]} & set(states.RECEIVES["destination"])
    assert set(states.FROM_THE_COMMIT) == heard | after
