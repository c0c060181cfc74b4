# SPDX-License-Identifier: Apache-2.0
"""The evidence of a migration as a zip file that a third party checks without SV2M.

Nothing in it is confidential beyond who moved which server where and when: keys travel in it only as
encrypted to the destination's ephemeral key, which is destroyed when the migration ends.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import textwrap
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources

from sv2m import protocol
from sv2m.db.models import Message, Migration, Peer

#: The protocol's messages, in its order; the numbers of its table.
ORDER = (
    "Offer",
    "TokenBA1",
    "TokenAB",
    "TokenBA2",
    "Envelope",
    "Transfer",
    "Prepared",
    "Release",
    "Receipt",
    "Closure",
)
_NUMBERS = {kind: number if number < 6 else number + 1 for number, kind in enumerate(ORDER, start=1)}
_SIGNED_BY_DESTINATION = ("TokenBA1", "TokenBA2", "Prepared", "Receipt")
#: The messages that introduce a cloud, and which one.
_INTRODUCTIONS = {"Offer": "source", "TokenBA1": "destination"}


def archive(row: Migration, documents: Sequence[Message], peer: Peer | None, cloud_name: str) -> bytes:
    """The zip file.

    :param documents: all that was kept of the migration.
    :param peer: the agreement; its CA is added where none was kept with the messages.
    :param cloud_name: this cloud.
    """
    kept = {message.kind: message for message in documents}
    files: dict[str, bytes] = {}
    for kind in ORDER:
        if kind in kept:
            files[_file(kind)] = kept[kind].document
    for kind, role in _INTRODUCTIONS.items():
        if kind in kept:
            chain = protocol.claimed_party(kept[kind].document).chain
            files[f"certificates/{role}.pem"] = _pem(chain[:1], "CERTIFICATE")
            if chain[1:]:
                files[f"certificates/{role}-issuers.pem"] = _pem(chain[1:], "CERTIFICATE")
    if "ca" in kept:
        files["certificates/ca.pem"] = kept["ca"].document
    elif peer is not None:
        files["certificates/ca.pem"] = peer.ca_pem.encode()
    for kind, message in kept.items():
        if kind == "crl":
            files["certificates/crl.pem"] = _pem(_der_sequences(message.document), "X509 CRL")
        elif kind == "manifest":
            files[_MANIFEST] = message.document
        elif kind not in (*ORDER, "ca"):
            files[f"other/{kind}"] = message.document
    files["summary.json"] = json.dumps(_summary(row, documents, cloud_name), indent=2).encode()
    files["README.txt"] = _readme(row, kept, files, cloud_name)
    return _zip(files, row.finished_at or row.updated_at)


def _file(kind: str) -> str:
    return f"messages/{_NUMBERS[kind]:02d}-{kind}.xml"


def _zip(files: dict[str, bytes], at: datetime) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in sorted(files.items()):
            # The time is the migration's, so that the same evidence gives the same bytes.
            entry = zipfile.ZipInfo(name, date_time=at.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, data)
    return content.getvalue()


def _summary(row: Migration, documents: Sequence[Message], cloud_name: str) -> dict[str, object]:
    return {
        "migration_id": row.id,
        "kept_by": cloud_name,
        "role": row.role,
        "peer": row.peer,
        "server_name": row.server_name,
        "phase": row.phase,
        "status": row.status,
        "documents": [
            {
                "kind": message.kind,
                "direction": message.direction,
                "at": message.at.isoformat(),
                "sha384": hashlib.sha384(message.document).hexdigest(),
            }
            for message in documents
        ],
    }


def _readme(row: Migration, kept: dict[str, Message], files: dict[str, bytes], cloud_name: str) -> bytes:
    source, destination = (cloud_name, row.peer) if row.role == "source" else (row.peer, cloud_name)
    at = kept["Offer"].at if "Offer" in kept else row.created_at
    signed = [
        (_file(kind), "destination" if kind in _SIGNED_BY_DESTINATION else "source", "")
        for kind in ORDER
        if kind in kept
    ]
    if "manifest" in kept:
        signed.append((_MANIFEST, "source", f" --ignore-manifests --id-attr:Id {_DS}:Object"))
    signatures = [
        f"xmlsec1 --verify --enabled-key-data key-name{more} \\\n"
        f"    --pubkey-cert-pem certificates/{signer}.pem {name}"
        for name, signer, more in signed
    ]
    chains = [
        f"openssl verify -attime {int(at.timestamp())} -CAfile certificates/ca.pem \\\n"
        f"    {_issuers(role, files)}{_CRL if 'crl' in kept else ''} "
        f"certificates/{role}.pem\nopenssl x509 -in certificates/{role}.pem -noout -subject -dates "
        "-ext subjectAltName,keyUsage"
        for kind, role in _INTRODUCTIONS.items()
        if kind in kept
    ]
    text = resources.files("sv2m.api").joinpath("evidence.txt").read_text()
    return text.format(
        id=row.id,
        source=source,
        destination=destination,
        kept_by=cloud_name,
        files="\n".join(f"  {name}" for name in sorted(files)),
        chains=_indented(chains),
        signatures=_indented(signatures),
    ).encode()


_MANIFEST = "manifest.xml"
_DS = "http://www.w3.org/2000/09/xmldsig#"
def _issuers(role: str, files: dict[str, bytes]) -> str:
    # A chain of a leaf alone: the root has issued it.
    name = f"certificates/{role}-issuers.pem"
    return f"-untrusted {name}" if name in files else ""


_CRL = " -crl_check -CRLfile certificates/crl.pem"


def _indented(blocks: Iterable[str]) -> str:
    return textwrap.indent("\n".join(blocks), "    ")


def _pem(parts: Iterable[bytes], label: str) -> bytes:
    blocks = []
    for der in parts:
        lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
        blocks.append(f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
    return "".join(blocks).encode()


def _der_sequences(data: bytes) -> list[bytes]:
    """The DER values that stand one after the other in ``data``: each CRL says its own length."""
    found, start = [], 0
    while start + 2 <= len(data):
        length, header = data[start + 1], 2
        if length & 0x80:
            size = length & 0x7F
            length, header = int.from_bytes(data[start + 2 : start + 2 + size]), 2 + size
        found.append(data[start : start + header + length])
        start += header + length
    return found
