# SPDX-License-Identifier: Apache-2.0
"""Makes the test vectors beside this file: one whole migration, message by message, with all keys.

    python -m tests.vectors.generate

The keys are made for these vectors only and published with them: never use them for anything else. They are
made when they are missing and kept otherwise; so is the Envelope, because OAEP is randomised. Everything else
is deterministic: running this again must change no file, and a test makes sure of that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import protocol as p
from sv2m.protocol import encryption, segments
from tests.protocol import certificates
from tests.protocol.certificates import Identity
from tests.protocol.clouds import EIK, NOW, PLAINTEXT, VMK, Pair, manifest, nonce

HERE = Path(__file__).parent
NAMES = ("cloud-a", "cloud-b")


def make_keys(directory: Path) -> None:
    """Keys and certificates, once."""
    if (directory / "ca.pem").exists():
        return
    (directory / "ca.pem").write_bytes(certificates.ca_pem())
    for name in NAMES:
        identity = certificates.identity(f"{name}.sv2m")
        (directory / f"{name}.key").write_bytes(identity.key)
        (directory / f"{name}.pem").write_bytes(
            b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in identity.chain)
        )
    (directory / "ekb.key").write_bytes(encryption.new_ephemeral_key()[1])
    (directory / "vmk.bin").write_bytes(VMK)
    (directory / "eik-0.bin").write_bytes(EIK)


def load_identity(directory: Path, name: str) -> Identity:
    """One cloud's key and chain."""
    chain = x509.load_pem_x509_certificates((directory / f"{name}.pem").read_bytes())
    return Identity(
        f"{name}.sv2m",
        (directory / f"{name}.key").read_bytes(),
        tuple(certificate.public_bytes(Encoding.DER) for certificate in chain),
    )


def run(directory: Path, kept: Path) -> Pair:
    """The migration of the vectors, to its end; the Envelope's wrapped keys are those of the kept one, if
    any.
    """
    pair = Pair(*(load_identity(directory, name) for name in NAMES))
    ekb = certificates.public_of((directory / "ekb.key").read_bytes())
    pair.steps["accept"] = lambda: pair.b.local(p.RoomHeld(p.Accepted(ekb, "192.0.2.1", 4711)))
    envelope = kept / "envelope.xml"
    if envelope.exists():
        keys = p.decode(envelope.read_bytes()).keys
        pair.steps["wrap"] = lambda: pair.a.local(
            p.KeysWrapped(keys, p.decode(envelope.read_bytes()).streams)
        )
    return pair.run()


def write(directory: Path, kept: Path = HERE) -> None:
    """All files but the keys."""
    pair = run(directory, kept)
    machine = pair.a.machine
    for kind, received in pair.a.transcript.items():
        (directory / f"{kind.lower()}.xml").write_bytes(received.document)
    sealer = p.Sealer(VMK)
    for stream, parts in PLAINTEXT.items():
        (directory / str(stream)).mkdir(exist_ok=True)
        for index, content in enumerate(parts):
            out = bytearray(len(content) + 28)
            sealer.seal(stream, index, content, out)
            (directory / str(stream) / f"{index}.seg").write_bytes(out)
            (directory / str(stream) / str(index)).write_bytes(content)
    transfer = machine.message(p.Transfer)
    (directory / "signature.xml").write_bytes(segments.open_signature(VMK, transfer.sealed_signature))
    values = {
        "note": "Test keys, published on purpose; see generate.py.",
        "migration_id": pair.offer.migration_id,
        "now": NOW.isoformat(),
        "nonce_a": nonce("A").hex(),
        "nonce_b": nonce("B").hex(),
        "digests": {kind: received.digest.hex() for kind, received in pair.a.transcript.items()},
        "sid": machine.sid.hex(),
        "context_digest": machine.context_digest.hex(),
        "keys_digest": machine.binding().keys_digest.hex(),
        "commitments": {key.name: key.commitment.hex() for key in machine.message(p.Envelope).keys},
        "ivs": {f"{stream}/{index}": segments.iv(stream, index).hex() for stream, index, _ in manifest()},
        "manifest": {f"{stream}/{index}": digest.hex() for stream, index, digest in manifest()},
        "tickets": [p.ticket(VMK, machine.sid, pair.offer.migration_id, n).hex() for n in range(3)],
        "needs": pair.offer.needs.to_dict(),
    }
    (directory / "values.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    make_keys(HERE)
    write(HERE)
    sys.stdout.write(f"{len(list(HERE.rglob('*')))} files in {HERE.name}\n")
