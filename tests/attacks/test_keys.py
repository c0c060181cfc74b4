# SPDX-License-Identifier: Apache-2.0
"""Keys that are not what A signed, keys for somebody else, and keys that stay where they should be gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import encryption
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import PROJECT, CloudB
from tests.attacks.federation import C, identity
from tests.protocol import clouds
from tests.unit.engine.recorder import Killed
from tests.unit.engine.sender import Sender


def pkcs1(source: Sender) -> tuple[p.WrappedKey, ...]:
    """Wrapped by PKCS #1 v1.5, as long as a key wrapped rightly."""
    recipient: Any = load_der_public_key(source.accepted.ephemeral_key)
    keys = zip(source.keys(), (clouds.VMK, clouds.EIK), strict=True)
    return tuple(dataclasses.replace(one, cipher_value=recipient.encrypt(key, padding.PKCS1v15())) for one, key in keys)


def swapped(source: Sender) -> tuple[p.WrappedKey, ...]:
    """VMK's ciphertext under EIK's name, and the other way round."""
    vmk, eik = source.keys()
    return (
        dataclasses.replace(vmk, cipher_value=eik.cipher_value),
        dataclasses.replace(eik, cipher_value=vmk.cipher_value),
    )


def another_eik(source: Sender) -> tuple[p.WrappedKey, ...]:
    """Another EIK than the one that A commits to."""
    vmk, eik = source.keys()
    other = source.keys(eik=bytes(32))[1]
    return vmk, dataclasses.replace(eik, cipher_value=other.cipher_value)


WRONG: dict[str, Callable[[Sender], tuple[p.WrappedKey, ...]]] = {
    "to another key": lambda source: source.keys(recipient=encryption.new_ephemeral_key()[0]),
    "under another label": lambda source: source.keys(label=bytes(32)),
    "committed to another migration": lambda source: source.keys(committed=clouds.MIGRATION),
    "swapped": swapped,
    "another EIK": another_eik,
    "PKCS #1 v1.5": pkcs1,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrapped_keys_that_are_not_what_a_signed(b: CloudB, wrong: str) -> None:
    b.source.run("TokenAB")
    b.source.make("Envelope", keys=WRONG[wrong](b.source))
    b.refusal(b.source.side.document("Envelope"))
    row = b.carry_on()
    assert (row.phase, row.fault, row.error_code) == ("undone", "peer", "integrity-error")
    assert b.untouched


def test_a_stolen_envelope_opens_for_nobody_else(b: CloudB) -> None:
    """C, a peer, puts the keys of A's Envelope into its own, for the same B: it has them decrypted by B's help."""
    b.source.run("Envelope")
    stolen = b.source.side.machine.message(p.Envelope).keys
    thief = b.sender(me=identity(C), vm=b.source.offer.needs.vm)
    thief.run("TokenAB")
    victim, b.source = b.source, thief
    thief.make("Envelope", keys=stolen)
    b.refusal(thief.side.document("Envelope"))
    assert b.carry_on().error_code == "integrity-error"
    b.source = victim
    b.source.run()
    b.carry_on()
    assert b.runs


@pytest.mark.parametrize("until", ["Offer", "TokenAB", "Envelope", "Transfer"])
def test_no_key_is_left_at_b_when_it_gives_up(b: CloudB, until: str) -> None:
    b.source.run(until)
    b.look(later=timedelta(hours=3))
    assert b.keys.secrets == {}
    assert not any(any(buffer) for buffer in b.keys.handed_out)


@pytest.mark.parametrize("why", ["no room", "agreement", "policy"])
def test_no_key_is_left_at_b_when_it_refuses(b: CloudB, why: str) -> None:
    if why == "no room":
        b.lmm.full = True
    elif why == "agreement":
        b.source = b.sender(needs={"memory_mb": 4096})
    else:
        b.change_policy('"secure_migration:federation:accept": "!"')
    b.source.run("TokenAB")
    assert b.row.status == "refused"
    assert b.untouched


def test_after_arrival_only_the_volumes_own_key_is_left_and_only_for_its_project(b: CloudB) -> None:
    """CVE-2022-3100, CVE-2022-23451, CVE-2022-23452, OSSN-0063: who may read a secret."""
    b.source.run()
    b.carry_on()
    ((ref, secret),) = b.keys.secrets.items()
    assert (secret.project, secret.payload) == (PROJECT, clouds.EIK)
    for other in (None, "somebody-else"):
        with pytest.raises(errors.KeyManagerError):
            b.keys.read(ref, project_id=other)
    assert not any(any(buffer) for buffer in b.keys.handed_out)


@pytest.mark.parametrize("call", ["km.make_ekb", "km.unwrap"])
def test_a_key_whose_name_was_not_written_down_is_found_again(b: CloudB, call: str) -> None:
    """kill -9 between Barbican's answer and our row."""
    b.source.run()
    number = b.recorder.calls.index(call) + 1
    b.begin()
    b.recorder.kill_at, b.recorder.kill_after_effect = number, True
    with pytest.raises(Killed):
        b.source.run()
    b.recorder.kill_at = None
    b.stop()
    b.start()
    b.look()
    b.source.run()
    b.carry_on()
    assert b.runs


def test_keys_at_a_are_gone_after_the_closure(a: CloudA) -> None:
    assert a.run().phase == "closed"
    assert a.km.stored == {}


def test_a_does_not_say_removed_while_a_key_is_left(a: CloudA) -> None:
    """Barbican refuses to delete: A's signed Closure would be a lie."""
    stubborn, destroy = [True] * 3, a.km.destroy

    def refusing(context: Any, refs: list[str]) -> dict[str, Any]:
        if stubborn and refs:
            stubborn.pop()
            assert "Closure" not in a.documents
            return {"left": refs}
        return destroy(context, refs)

    a.km.destroy = refusing  # type: ignore[method-assign]
    assert a.run().phase == "closed"
    assert not stubborn
    assert a.gone


def test_a_vmk_whose_name_was_not_written_down_is_gone_after_all(a: CloudA) -> None:
    a.run()
    number = a.recorder.calls.index("km.make_vmk") + 1
    a.begin()
    a.recorder.kill_at, a.recorder.kill_after_effect = number, True
    with pytest.raises(Killed):
        a.run()
    a.recorder.kill_at = None
    a.stop()
    a.km.stored[f"orphan-{a.id}"] = b"the VMK of the attempt that was cut off"
    a.start()
    assert a.run().phase == "closed"
    assert a.km.stored == {}


def test_weak_keys_of_b_are_not_wrapped_to(a: CloudA) -> None:
    """B, or somebody in its place, offers a key that can be broken: nothing is wrapped to it."""
    weak = rsa.generate_private_key(65537, 2432)
    pem = clouds.certificates.pem(weak)
    a.peer.decision = p.Accepted(clouds.certificates.public_of(pem), "192.0.2.1", 4711)
    a.lies("TokenBA2", decision=a.peer.decision)
    honest = p.Accepted(clouds.ephemeral_key()[0], "192.0.2.1", 4711)
    a.peer.decision = honest
    row = a.run()
    assert (row.phase, row.fault) == ("withdrawn", "peer")
    assert "Envelope" not in a.documents
    assert a.runs_here
