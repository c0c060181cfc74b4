# SPDX-License-Identifier: Apache-2.0
"""The lab's timestamp authority (RFC 3161). For lab and tests ONLY: its clock is this machine's, its key a file.

`openssl ts -reply` does the signing, so that what SV2M verifies was made by another hand.
"""

from __future__ import annotations

import datetime
import subprocess
import tempfile
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab import pki
from lab.ini import write_private

#: Whose only meaning is "a lab's": below the arc for examples of RFC 7229.
POLICY = "1.3.6.1.5.5.7.13.1"
QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"
_CONFIGURATION = """\
[tsa]
default_tsa = lab
[lab]
dir = {directory}
serial = $dir/serial
signer_cert = $dir/tsa.pem
signer_key = $dir/tsa.key
signer_digest = sha384
default_policy = {policy}
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = no
ess_cert_id_alg = sha256
"""


class TimestampAuthority:
    """Keeps its key and serial number in a directory; `create` makes them."""

    def __init__(self, directory: Path) -> None:
        self._own = directory
        # One serial number is given at a time.
        self._lock = threading.Lock()

    def create(self, ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, days: float = 365) -> None:
        """A key, and its certificate by the CA: for timestamping, which RFC 3161 wants critical, and nothing else."""
        key = ec.generate_private_key(ec.SECP384R1())
        usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
        last = datetime.timedelta(days=days)
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        certificate = (
            pki.builder(pki.name("SV2M lab timestamps"), key.public_key(), ca.subject, datetime.timedelta(), last)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(purpose, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA384())
        )
        write_private(self._own / "tsa.key", pki.key_pem(key))
        write_private(self._own / "tsa.pem", pki.certificate_pem(certificate), 0o644)
        write_private(self._own / "serial", "01\n")
        write_private(self._own / "openssl.cnf", _CONFIGURATION.format(directory=self._own, policy=POLICY))

    def answer(self, query: bytes) -> bytes:
        """The TimeStampResp to a TimeStampReq; a refusal, in the same form, where the query is none.

        Raises:
            OSError: openssl is not there or failed
        """
        with self._lock, tempfile.TemporaryDirectory(dir=self._own) as work:
            asked, given = Path(work) / "query.tsq", Path(work) / "reply.tsr"
            asked.write_bytes(query)
            command = ["openssl", "ts", "-reply", "-config", self._own / "openssl.cnf", "-queryfile", asked]
            done = subprocess.run([*command, "-out", given], capture_output=True, check=False, timeout=30)
            if done.returncode or not given.exists():
                raise OSError(f"openssl ts -reply: {done.stderr.decode(errors='replace')[-500:]}")
            return given.read_bytes()
