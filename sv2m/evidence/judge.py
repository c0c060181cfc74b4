# SPDX-License-Identifier: Apache-2.0
"""What signed messages prove, and about whom: facts that a cloud cannot deny, and contradictions that convict it.

Only folders in which nothing is off are heard: a tampered file convicts nobody. Neither does a message that a thief of
the key may have signed: one without a timestamp, where no list of today says that the key is still its cloud's. And
neither does another cloud's word: who is convicted has signed both sides of the contradiction. Where only what a cloud
does not show would clear it, it owes an answer, and whoever hears the dispute asks for it. What no signed message can
show is not judged here: a cloud that runs a copy and never signs anything about it leaves no evidence of that.

Any two clouds may hold a migration under any id and about any VM, and show its folder. So nothing is found, or taken
as answered, by the id alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sv2m import protocol
from sv2m.evidence.folder import SIGNED_BY_DESTINATION
from sv2m.evidence.report import plain
from sv2m.evidence.verifier import Case
from sv2m.protocol.declaration import ACCEPT_KEY, LET_GO, LOST, RUNNING, TAKEN_BACK
from sv2m.protocol.messages import DECLARED_LOST, DECLARED_RUNNING


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
    heard = _heard(cases)
    found = [
        Fact(message.migration_id, _signer(case, kind), *_meaning(message, case), kind)
        for case in heard
        for kind, message in _messages(case).items()
    ]
    found += [
        Fact(one.said.migration_id, one.said.cloud, *_decided(one.said, case), "Declaration")
        for case in heard
        for one in case.declarations
    ]
    # What both sides show is said once. Nothing but the very same words counts as said before.
    return list(dict.fromkeys(found))


def contradictions(cases: Sequence[Case]) -> list[Contradiction]:
    """Who is convicted, and of what."""
    heard = _heard(cases)
    found = {*_two_faced(heard), *_false_declarations(heard), *_held_on(heard)}
    return sorted(found, key=lambda one: (one.cloud, one.code, one.text))


def owing(cases: Iterable[Case]) -> list[Fact]:
    """Answers that a cloud owes: what it has signed stands against it until it shows what an honest cloud has."""
    heard = _heard(cases)
    return list(dict.fromkeys([*_owed_receipts(heard), *_owed_refusals(heard), *_second_copies(heard)]))


def _heard(cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if case.report.good]


def _messages(case: Case) -> dict[str, protocol.Message]:
    kinds = [kind for kind in protocol.KINDS if kind in case.transcript]
    return {kind: case.transcript.message(protocol.KINDS[kind]) for kind in kinds}


def _signer(case: Case, kind: str) -> str:
    offer = _offer(case)
    return offer.destination if kind in SIGNED_BY_DESTINATION else offer.source.name


def _offer(case: Case) -> protocol.Offer:
    """The Offer. A folder without one is not heard: nobody would be known to have signed the rest."""
    return case.transcript.message(protocol.Offer)


def _vm(case: Case) -> str:
    """Whose, which and when: another cloud may have a VM of the same id, or say so."""
    offer = _offer(case)
    return f"VM {offer.needs.vm} of {offer.source.name} (generation {offer.generation})"


def _about(case: Case) -> tuple[str, str, bytes]:
    """What a Release and its Receipt are about: to whom, in which migration, by which Transfer.

    Transfer and Receipt carry the digest of what opened the session, so that nobody but these two clouds can have
    another pair of them about the same.
    """
    offer = _offer(case)
    return offer.destination, offer.migration_id, case.transcript.digest(protocol.Transfer)


def _meaning(message: protocol.Message, case: Case) -> tuple[str, str]:
    offer, vm = _offer(case), _vm(case)
    named = f"the manifest that Transfer names (SHA-384 {_trailer(case)})"
    decided = getattr(message, "outcome", None) or type(getattr(message, "decision", None)).__name__.lower()
    by_people = getattr(message, "reason", None) in (DECLARED_LOST, DECLARED_RUNNING)
    people = f"; its people have declared that, and {offer.destination} answers for it" if by_people else ""
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
        "Receipt.resumed": ("runs", f"runs {vm}, exactly as in {named}{people}"),
        "Receipt.refused": ("refused", f"does not run {vm}, and never will{people}"),
        "Closure.removed": ("removed", f"has removed {vm} and its keys"),
        "Closure.taken-back": ("took-back", f"took {vm} back after its Release, without a Receipt, and answers for it"),
        "Closure.withdrawn": ("withdrew", f"withdrew before it released {vm}"),
    }
    kind = type(message).__name__
    return by_kind[kind if kind in by_kind else f"{kind}.{decided}"]


def _decided(said: protocol.Declaration, case: Case) -> tuple[str, str]:
    """What the people of a cloud have decided, and what that means for who answers for it."""
    offer, vm = _offer(case), _vm(case)
    other = offer.destination if said.cloud == offer.source.name else offer.source.name
    answers = f'; {said.cloud} answers for that ("{plain(said.reason)}")'
    return {
        LOST: ("declared-lost", f"declared that {vm} was lost with its host, and never ran there{answers}"),
        RUNNING: ("declared-running", f"declared that {vm} ran there, whatever became of it since{answers}"),
        TAKEN_BACK: ("took-back", f"decided that {vm} runs there again, without the word of {other}{answers}"),
        LET_GO: ("let-go", f"decided that {vm} is removed there, without the word of {other}{answers}"),
        ACCEPT_KEY: (
            "accepted-key",
            f"decided to believe {other}, whose key was reported as compromised; what a thief has signed by it is "
            f"{said.cloud}'s own loss{answers}",
        ),
    }[said.kind]


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
    undeniable = [case for case in cases if case.is_undeniable("Receipt")]
    for (cloud, migration_id, _), outcomes in _outcomes(undeniable).items():
        if len(outcomes) > 1:
            text = f"signed Receipts resumed and refused of one Transfer in migration {migration_id}"
            yield Contradiction(cloud, "two-faced", text)


def _outcomes(cases: Sequence[Case]) -> dict[tuple[str, str, bytes], set[str]]:
    """What B says became of each VM that it was ordered to run: one outcome, where B is honest.

    Of a Receipt with a proof of its time and one without, the first one stands, and the other says nothing: whoever has
    stolen B's key since may have signed it. A copy of the first from which its timestamp was taken does not change
    that, in whosever folder it is.
    """
    dated: dict[tuple[str, str, bytes], set[str]] = {}
    others: dict[tuple[str, str, bytes], set[str]] = {}
    for case in cases:
        if "Receipt" in case.transcript:
            said = dated if case.is_dated("Receipt") else others
            said.setdefault(_about(case), set()).add(case.transcript.message(protocol.Receipt).outcome)
    return {**others, **dated}


def _false_declarations(cases: Sequence[Case]) -> Iterable[Contradiction]:
    """B's people have declared one thing, and B has signed a Receipt of the other: both are B's own words."""
    said = _outcomes([case for case in cases if case.is_undeniable("Receipt")])
    for case in cases:
        for one in case.declarations if "Transfer" in case.transcript else ():
            denied = {LOST: "resumed", RUNNING: "refused"}.get(one.said.kind)
            if one.undeniable and denied in said.get(_about(case), ()):
                text = f"declared {one.said.kind}, and signed a Receipt {denied}, of one Transfer in migration "
                yield Contradiction(one.said.cloud, "two-faced", f"{text}{one.said.migration_id}")


def _taken_back(cases: Sequence[Case]) -> set[tuple[str, str, bytes]]:
    """What A has signed that it took back on its own responsibility."""
    return {
        _about(case)
        for case in cases
        if "Transfer" in case.transcript
        and (
            _decides(case, TAKEN_BACK)
            or ("Closure" in case.transcript and case.transcript.message(protocol.Closure).outcome == TAKEN_BACK)
        )
    }


def _decides(case: Case, kind: str) -> bool:
    return any(one.said.kind == kind for one in case.declarations)


def _second_copies(cases: Sequence[Case]) -> Iterable[Fact]:
    """A took a VM back without B's word, and B has signed that it runs it: the second copy is A's to answer for.

    It is no contradiction of A's own words: B may have signed that afterwards, for the judge. So A is asked first, and
    may show that it had told B before: its Closure, with a timestamp of before B's Receipt.
    """
    said, taken = _outcomes(cases), _taken_back(cases)
    for case in cases:
        if "Release" in case.transcript and _about(case) in taken and "resumed" in said.get(_about(case), ()):
            offer = _offer(case)
            text = (
                f"it took {_vm(case)} back without a Receipt, and {offer.destination} has signed that it runs it: two "
                f"copies are {offer.source.name}'s to answer for, unless {offer.destination} had its Closure before"
            )
            yield Fact(offer.migration_id, offer.source.name, "two-copies", text, "Release")


def _held_on(cases: Sequence[Case]) -> Iterable[Contradiction]:
    """A says that it has removed a VM, and offers it again: A's own Closure, and A's own Offer.

    B's Receipt is not enough. A B that has refused may sign for the judge that it resumed, and stamp that; the true
    Receipt, by which A took its VM back, is A's to show, and what A does not show it owes.
    """
    for case in cases:
        if _has_removed(case):
            for again in _offered_again(case, cases):
                offer = _offer(case)
                text = f"removed {_vm(case)} in migration {offer.migration_id}, and {again}: it had not let go of it"
                yield Contradiction(offer.source.name, "held-on", text)


def _has_removed(case: Case) -> bool:
    """Whether A, and nobody with its key, has signed that the VM and its keys are gone, or are to go."""
    let_go = any(one.said.kind == LET_GO and one.undeniable for one in case.declarations)
    if let_go and "Transfer" in case.transcript:
        return True
    if "Closure" not in case.transcript or not case.is_undeniable("Closure"):
        return False
    return case.transcript.message(protocol.Closure).outcome == "removed"


def _offered_again(given: Case, cases: Iterable[Case]) -> Iterable[str]:
    """The later offers of a VM by the cloud that gave it away, in words.

    No clock decides: the Generation grows with every offer of a VM, by the signer's own count. A VM that came back has
    another id.
    """
    before = _offer(given)
    for case in cases:
        offer = _offer(case)
        same = (offer.source.name, offer.needs.vm) == (before.source.name, before.needs.vm)
        if same and offer.generation > before.generation and case.is_undeniable("Offer"):
            yield f"offered it again later in migration {offer.migration_id}"


def _owed_receipts(cases: Sequence[Case]) -> Iterable[Fact]:
    """B signed that it holds the VM, was ordered to run it, and shows no Receipt."""
    answered = _outcomes(cases).keys() | _taken_back(cases)
    for case in cases:
        if "Release" in case.transcript and _about(case) not in answered:
            asked = "it must show its Receipt, or sign that it never runs it"
            text = f"it holds {_vm(case)} and was ordered to run it: {asked}"
            yield Fact(_offer(case).migration_id, _signer(case, "Receipt"), "owes-receipt", text, "Prepared")


def _owed_refusals(cases: Sequence[Case]) -> Iterable[Fact]:
    """A gave up its right to a VM with its Release, and offers it again, which an honest A does only after B's refusal.

    So an honest A has the Receipt. One that others show does as well; one without a proof of its time does not do where
    a Receipt with one says that B resumed. Whoever has signed that it removed the VM is convicted without being asked.
    """
    said = _outcomes(cases)
    # Of what A has taken back it has said so itself, and answers for it.
    removed = {_about(case) for case in cases if _has_removed(case)} | _taken_back(cases)
    for case in cases:
        if "Release" not in case.transcript or not case.is_undeniable("Release"):
            continue
        if _about(case) in removed or "refused" in said.get(_about(case), ()):
            continue
        offer = _offer(case)
        for again in _offered_again(case, cases):
            text = (
                f"it released {_vm(case)} to {offer.destination}, and {again}: it must show the Receipt by which "
                f"{offer.destination} refused; without it, it had not let go of the VM"
            )
            yield Fact(offer.migration_id, offer.source.name, "owes-refusal", text, "Release")
