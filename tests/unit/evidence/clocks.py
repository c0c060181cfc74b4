# SPDX-License-Identifier: Apache-2.0
"""A timestamp authority whose clock is ahead of this machine's, or behind: what is stamped years later, or wrongly."""

from __future__ import annotations

import re
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from lab.ttp.authority import Authority
from sv2m.evidence.timestamps import Query, Stamp

#: id-ct-TSTInfo (RFC 3161, section 2.4.2).
_TST_INFO = "1.2.840.113549.1.9.16.1.4"


class AtAnotherTime:
    """The lab's authority, its answers dated anew and signed again with its own key.

    :param ahead: by how much its clock is; a negative one is behind.
    """

    def __init__(self, authority: Authority, ahead: timedelta) -> None:
        self._authority = authority
        self._ahead = ahead
        self.ca_pem = authority.anchor.read_text()

    def stamp(self, data: bytes) -> tuple[bytes, Stamp]:
        query = Query.of(data)
        response = self._answer(query.body)
        roots = x509.load_pem_x509_certificates(self.ca_pem.encode())
        return response, query.check(response, roots)

    def _answer(self, query: bytes) -> bytes:
        now = datetime.now(UTC)
        answer = self._authority.timestamps.answer(query)
        with tempfile.TemporaryDirectory() as work:
            given, token, info, signed = (Path(work) / one for one in ("given", "token", "info", "signed"))
            given.write_bytes(answer)
            _openssl("ts", "-reply", "-in", given, "-token_out", "-out", token)
            # Who has signed it, the query's own check finds out afterwards.
            _openssl("cms", "-verify", "-noverify", "-nosigs", "-inform", "DER", "-in", token, "-out", info)
            then = f"{now + self._ahead:%Y%m%d%H%M%S}Z".encode()
            info.write_bytes(re.sub(rb"[0-9]{14}Z", then, info.read_bytes(), count=1))
            own = self._authority.timestamps._own
            signer = ("-signer", own / "tsa.pem", "-inkey", own / "tsa.key", "-md", "sha384")
            form = ("-binary", "-nodetach", "-nosmimecap", "-cades", "-econtent_type", _TST_INFO, "-outform", "DER")
            _openssl("cms", "-sign", *signer, *form, "-in", info, "-out", signed)
            return _response(signed.read_bytes())


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


def _response(token: bytes) -> bytes:
    """TimeStampResp (RFC 3161, section 2.4.2): granted, and the token."""
    content = b"\x30\x03\x02\x01\x00" + token
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content
