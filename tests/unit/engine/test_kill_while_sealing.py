# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the source's engine while the server is being sealed: a new engine on the same rows goes on."""

from __future__ import annotations

import pytest

from sv2m import protocol as p
from sv2m.protocol import segments
from tests.protocol import certificates, clouds
from tests.unit.engine.leaving import Source
from tests.unit.engine.recorder import Killed
from tests.unit.engine.test_source_kills import kill_everywhere


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_kill_while_sealing(source: Source, after_effect: bool) -> None:
    kill_everywhere(source, "transferring", after_effect=after_effect)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", ["mam.sign_manifest", "km.seal_signature", "mam.sign"])
def test_what_is_sealed_again_is_the_same_trailer(source: Source, call: str, after_effect: bool) -> None:
    """Of a cloud with an RSA key, whose every signature over the same manifest is another one: one under a VMK."""
    sealed: list[str] = []

    def sealing(context, vmk_ref: str, signature_b64: str):
        sealed.append(signature_b64)
        return seal(context, vmk_ref, signature_b64)

    source.identity = certificates.rsa_identity("cloud-a.sv2m")
    source.begin()
    seal = source.km.seal_signature
    source.km.seal_signature = sealing  # type: ignore[method-assign]
    source.recorder.kill_on = ("transferring", call)
    source.recorder.kill_after_effect = after_effect
    with pytest.raises(Killed):
        source.run()
    source.recorder.kill_on = None
    source.stop()
    source.start()
    assert source.run().phase == "closed"
    assert len(set(sealed)) == 1
    transfer = p.decode(p.verify(dict(source.sent)["Transfer"], "Transfer", source.identity.leaf).message_document)
    trailer = segments.open_signature(clouds.VMK, transfer.sealed_signature)
    assert source.kept("manifest") == trailer
    assert transfer.trailer_digest == p.trailer_digest(trailer)


def test_each_side_keeps_the_trailer(source: Source) -> None:
    """A, because what the Transfer holds sealed nobody can open when VMK is gone."""
    source.run()
    kept = source.kept("manifest")
    assert kept is not None
    transfer = p.verify(source.kept("Transfer") or b"", "Transfer", source.identity.leaf)
    assert p.decode(transfer.message_document).trailer_digest == p.trailer_digest(kept)
