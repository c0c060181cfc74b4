# SPDX-License-Identifier: Apache-2.0
"""What signed messages prove, and about whom: facts that a cloud cannot deny, and contradictions that convict it.

Only folders in which nothing is off are heard: a tampered file convicts nobody. Neither does a message that a thief of
the key may have signed: one without a timestamp, where no list of today says that the key is still its cloud's. What no
signed message can show is not judged here: a cloud that runs a copy and never signs anything about it leaves no
evidence of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sv2m import protocol
from sv2m.evidence.folder import SIGNED_BY_DESTINATION
from sv2m.evidence.verifier import Case


@dataclass(frozen=True)
class Fact:
    """What a cloud has signed.

    :param cloud: who cannot deny it.
    :param code: stable, for scripts.
    :param document: the message that shows it.
    """

    migration_id: str
    cloud: str
    code: str
    text: str
    document: str


@dataclass(frozen=True)
class Contradiction:
    """Two things that an honest cloud would not both have signed.

    :param cloud: who is convicted.
    """

    cloud: str
    code: str
    text: str


def facts(cases: Iterable[Case]) -> list[Fact]:
    """What is proved, in the order of the messages."""
    found: dict[tuple[str, str, str], Fact] = {}
    for case in _heard(cases):
        for kind, message in _messages(case).items():
            code, text = _meaning(message, case)
            fact = Fact(message.migration_id, _signer(case, kind), code, text, kind)
            found.setdefault((fact.migration_id, fact.cloud, fact.code), fact)
    return list(found.values())


def contradictions(cases: Sequence[Case]) -> list[Contradiction]:
    """Who is convicted, and of what."""
    heard = _heard(cases)
    found = {*_two_faced(heard), *_held_on(heard)}
    return sorted(found, key=lambda one: (one.cloud, one.code, one.text))


def owing(cases: Iterable[Case]) -> list[Fact]:
    """Answers that a cloud owes: it signed that it holds the VM, was ordered to run it, and shows no Receipt."""
    heard = _heard(cases)
    answered = {case.transcript.migration_id for case in heard if "Receipt" in case.transcript}
    found = {}
    for case in heard:
        said, migration_id = case.transcript, case.transcript.migration_id
        if "Release" in said and migration_id not in answered and migration_id is not None:
            text = "it holds the VM and was ordered to run it: it must show its Receipt, or sign that it never runs it"
            found[migration_id] = Fact(migration_id, _signer(case, "Receipt"), "owes-receipt", text, "Prepared")
    return list(found.values())


def _heard(cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if case.report.good]


def _messages(case: Case) -> dict[str, protocol.Message]:
    kinds = [kind for kind in protocol.KINDS if kind in case.transcript]
    return {kind: case.transcript.message(protocol.KINDS[kind]) for kind in kinds}


def _signer(case: Case, kind: str) -> str:
    offer = case.transcript.message(protocol.Offer)
    return offer.destination if kind in SIGNED_BY_DESTINATION else offer.source.name


def _meaning(message: protocol.Message, case: Case) -> tuple[str, str]:
    offer = case.transcript.message(protocol.Offer)
    vm = f"VM {offer.needs.vm} (generation {offer.generation})"
    named = f"the manifest that Transfer names (SHA-384 {_trailer(case)})"
    decided = getattr(message, "outcome", None) or type(getattr(message, "decision", None)).__name__.lower()
    by_kind = {
        "Offer": ("offered", f"offered {vm} to {offer.destination}"),
        "TokenBA1": ("challenged", f"answered the offer of {vm}"),
        "TokenAB": ("authenticated", f"proved itself to {offer.destination}"),
        "TokenBA2.accepted": ("accepted", f"accepted {vm}, and held room for it"),
        "TokenBA2.refused": ("declined", f"did not accept {vm}"),
        "Envelope": ("gave-keys", f"gave {offer.destination} the keys of {vm}"),
        "Transfer": ("sent", f"sent {vm}, exactly as in {named}"),
        "Prepared": ("received", f"received {vm} exactly as in {named}, and holds it paused"),
        "Release": ("released", f"ordered {offer.destination} to run {vm}, and gave up its own right to"),
        "Receipt.resumed": ("runs", f"runs {vm}, exactly as in {named}"),
        "Receipt.refused": ("refused", f"does not run {vm}, and never will"),
        "Closure.removed": ("removed", f"has removed {vm} and its keys"),
        "Closure.withdrawn": ("withdrew", f"withdrew before it released {vm}"),
    }
    kind = type(message).__name__
    return by_kind[kind if kind in by_kind else f"{kind}.{decided}"]


def _trailer(case: Case) -> str:
    """The digest of the one signed manifest that everything after the Transfer is about; its file is manifest.xml."""
    if "Transfer" not in case.transcript:
        return "none"
    return case.transcript.message(protocol.Transfer).trailer_digest.hex()


def _two_faced(cases: Sequence[Case]) -> Iterable[Contradiction]:
    """B signed of one Transfer both that it runs the VM, and that it does not and never will.

    Nothing else that was signed twice convicts anybody. A cloud whose database was restored from a backup does an
    earlier step again, with a fresh nonce, key or time, and anybody can make it do so by posting recorded messages. So
    an honest cloud may have signed two

    - Offers: A counts and dates again; an Offer by itself binds A to nothing.
    - TokenBA1, TokenAB, TokenBA2: fresh nonces and a fresh ekB are what they are for, and there may be room for the
      VM today where there was none yesterday. No nonce but the right one opens a session.
    - Envelopes and Transfers: keys are wrapped to other bytes each time, VMK may be another, and an RSA-PSS signature
      over the same manifest, and with it TrailerDigest, is another one each time. Which of them counts is what B's
      Prepared and Receipt name.
    - Prepared and Releases: they name a Transfer by its digest, Release has a time; both follow what they answer.
    - Closures: one has the time and the Receipt's digest. Withdrawn beside removed is what A says that forgot, with its
      database, what it had released; Release and Receipt, not the Closure, say whose the VM is.
    - Receipts of the same outcome, at another time or for another reason.

    Two outcomes of one Transfer are another matter: B marks the server in Nova before it signs "resumed", and asks
    Nova or the host before it signs "refused", so that a B that has forgotten its Receipt refuses nothing while it has
    the server. The Transfer counts, not the session: it is the VM that B says it has or has not.
    """
    said: dict[tuple[str, str, bytes, bool], protocol.Receipt] = {}
    for case in cases:
        # Of a Receipt with a proof of its time and one without, the first one stands, and the other convicts nobody:
        # whoever has stolen B's key since may have signed it. The same holds for one that could be of today, where no
        # list of today says that the key is still B's.
        if "Receipt" not in case.transcript or not case.is_undeniable("Receipt"):
            continue
        receipt = case.transcript.message(protocol.Receipt)
        cloud = _signer(case, "Receipt")
        about = (cloud, receipt.migration_id, receipt.transfer_digest, case.is_dated("Receipt"))
        first = said.setdefault(about, receipt)
        if first.outcome != receipt.outcome:
            text = f"signed Receipts resumed and refused of one Transfer in migration {receipt.migration_id}"
            yield Contradiction(cloud, "two-faced", text)


def _held_on(cases: Sequence[Case]) -> Iterable[Contradiction]:
    """A VM that was given away is offered again by the cloud that gave it away.

    No clock decides: the Generation grows with every offer of a VM, by the signer's own count. A VM that came back has
    another id. Only a Receipt (resumed) or the cloud's own Closure (removed) counts: after Release alone the other
    side may have refused. And nothing that somebody else may have signed with a stolen key counts.
    """
    gone: dict[tuple[str, str], tuple[int, str]] = {}
    for case in cases:
        messages = {kind: one for kind, one in _messages(case).items() if case.is_undeniable(kind)}
        closure, receipt = messages.get("Closure"), messages.get("Receipt")
        # B's Receipt tells of a gift only where A's Release is A's own: B may have stolen a key of A's that has ended.
        given = "Release" in messages and getattr(receipt, "outcome", None) == "resumed"
        if given or getattr(closure, "outcome", None) == "removed":
            offer = case.transcript.message(protocol.Offer)
            vm = (offer.source.name, offer.needs.vm)
            gone[vm] = min((offer.generation, offer.migration_id), gone.get(vm, (offer.generation, offer.migration_id)))
    for case in cases:
        offer = case.transcript.message(protocol.Offer)
        generation, migration_id = gone.get((offer.source.name, offer.needs.vm), (offer.generation, ""))
        if offer.generation > generation and case.is_undeniable("Offer"):
            text = (
                f"gave VM {offer.needs.vm} away in migration {migration_id}, and offered it again later "
                f"in migration {offer.migration_id}: it had not let go of it"
            )
            yield Contradiction(offer.source.name, "held-on", text)
