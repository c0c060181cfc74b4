# SPDX-License-Identifier: Apache-2.0
"""Evidence of one migration as a cloud saved it, and an answer of a timestamp authority: the same in every run.

``python -m tests.fuzz.saved`` makes them anew, with real clouds, certificates and timestamps; the kept inputs of the
targets ``evidence`` and ``timestamp`` are then to be renewed as well.
"""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from sv2m.evidence import timestamps
from sv2m.evidence.folder import Folder

HERE = Path(__file__).parent
ARCHIVE, ANSWER, QUERY = HERE / "evidence.zip", HERE / "answer.tsr", HERE / "query.json"
_STAMPED = "messages/10-Receipt.xml"


@functools.cache
def folder() -> Folder:
    """Stamped messages and log, and a timestamp of everything."""
    return Folder.unpack("saved", ARCHIVE.read_bytes())


@functools.cache
def root() -> x509.Certificate:
    """Which vouches for both clouds and for the authority."""
    return x509.load_pem_x509_certificate(folder().files["certificates/ca.pem"])


@functools.cache
def now() -> datetime:
    """The time of the hearing: when it was made."""
    return datetime.fromtimestamp(json.loads(QUERY.read_text())["made"], UTC)


@functools.cache
def query() -> timestamps.Query:
    """A question."""
    asked = json.loads(QUERY.read_text())
    return timestamps.Query(folder().files[_STAMPED], int(asked["nonce"]), bytes.fromhex(asked["body"]))


def answer() -> bytes:
    """What the authority answered to it."""
    return ANSWER.read_bytes()
