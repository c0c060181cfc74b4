# SPDX-License-Identifier: Apache-2.0
"""A courtroom: clouds with certificates of one CA, what each of them kept, and the judge with the root in her hand."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lab import pki
from lab.cloud import Lab
from lab.ttp.authority import Authority as Ca
from lab.ttp.authority import Profile
from sv2m import protocol as p
from sv2m.api import evidence
from sv2m.db import audit, engine, messages, migrations, sync, timestamps
from sv2m.engine.stamping import Authority, Stamper
from sv2m.evidence import judge, told
from sv2m.evidence import timestamps as stamps
from sv2m.evidence.folder import Folder
from sv2m.evidence.verifier import Case, verify_all
from sv2m.protocol import segments
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.protocol.clouds import VMK, Pair, Side

STAMPED = ("Transfer", "Prepared", "Release", "Receipt", "Closure")


class InProcess:
    """The lab's timestamp authority without its web server."""

    def __init__(self, authority: Ca) -> None:
        self._authority = authority
        self.ca_pem = authority.anchor.read_text()

    def stamp(self, data: bytes) -> tuple[bytes, stamps.Stamp]:
        query = stamps.Query.of(data)
        response = self._authority.timestamps.answer(query.body)
        return response, query.check(response, [self._authority.certificate])


class Court:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.authority = Ca(Lab(directory / "lab"))
        self.authority.create()
        self.tsa = InProcess(self.authority)
        self.a, self.b = self.enrol("cloud-a.sv2m"), self.enrol("cloud-b.sv2m")
        self._empty = directory / "empty.sqlite"
        made = sa.create_engine(f"sqlite:///{self._empty}")
        sync.upgrade(made)
        made.dispose()
        self._databases = 0

    @property
    def roots(self) -> list[x509.Certificate]:
        return [self.authority.certificate]

    def enrol(self, name: str, profile: Profile | None = None) -> Identity:
        key = ec.generate_private_key(ec.SECP384R1())
        certificate = self.authority.issue(key.public_key(), name, profile or Profile())
        return Identity(name, pki.key_pem(key).encode(), (certificate.public_bytes(Encoding.DER),))

    def pair(
        self,
        *,
        migration_id: str = clouds.MIGRATION,
        generation: int = 1,
        a: Identity | None = None,
        b: Identity | None = None,
    ) -> Pair:
        """Two clouds that are about to move a VM; always the same VM."""
        made = Pair(a or self.a, b or self.b)
        name = made.b.identity.name
        made.offer = clouds.offer(made.a.identity, name, migration_id=migration_id, generation=generation)
        return made

    def keeps(self, side: Side, *, stamped: bool = True, by: Authority | None = None) -> Folder:
        """What this cloud has kept, as its operator saves it.

        :param by: who says what time it is; None: the authority whose clock is right.
        """
        return unpacked(self.saved(side, stamped=stamped, by=by), side.identity.name)

    def saved(self, side: Side, *, stamped: bool = True, by: Authority | None = None) -> bytes:
        self._databases += 1
        path = self._directory / f"{self._databases}.sqlite"
        shutil.copy(self._empty, path)
        engine.use(sa.create_engine(f"sqlite:///{path}"))
        try:
            migration_id = self.store(side)
            if stamped:
                Stamper(by or self.tsa, STAMPED, 1).look()
            return evidence.archive(kept(migration_id, side.identity.name))
        finally:
            engine.current().dispose()
            engine.use(None)

    def store(self, side: Side) -> str:
        """Write what a cloud has sent and received into the database in use."""
        own = "destination" if side.role == "destination" else "source"
        migration_id = next(iter(side.transcript.values())).message.migration_id
        values = {"role": own, "peer": side.peer.name, "project_id": "p", "phase": "requested"}
        by_destination = ("TokenBA1", "TokenBA2", "Prepared", "Receipt")
        with engine.session() as session:
            migrations.create(session, id=migration_id, **values)
            for kind in p.KINDS:
                if kind in side.transcript:
                    sent = (kind in by_destination) == (own == "destination")
                    direction = messages.SENT if sent else messages.RECEIVED
                    document = side.transcript[kind].document
                    messages.record(session, migration_id, kind, direction, document, b"")
            for kind, document in side.declared.items():
                messages.record(session, migration_id, f"declaration-{kind}", messages.SENT, document, b"")
            root = self.authority.anchor.read_bytes()
            messages.record(session, migration_id, "ca", messages.RECEIVED, root, b"")
            messages.record(session, migration_id, "crl", messages.RECEIVED, self.authority.crl(), b"")
            if "Transfer" in side.transcript:
                sealed = side.machine.message(p.Transfer).sealed_signature
                opened = segments.open_signature(VMK, sealed)
                direction = messages.SENT if own == "source" else messages.RECEIVED
                messages.record(session, migration_id, "manifest", direction, opened, b"")
            migrations.advance(session, migration_id, "requested", 0, side.machine.phase, status="completed")
        return migration_id

    def hears(self, *folders: Folder, now: datetime | None = None) -> Judgement:
        return Judgement(verify_all(folders, self.roots, now=now))


def kept(migration_id: str, cloud: str) -> evidence.Kept:
    with engine.session() as session:
        return evidence.Kept(
            migrations.get(session, migration_id),
            messages.list_for(session, migration_id),
            None,
            timestamps.list_for(session, migration_id),
            audit.list_for(session, migration_id),
            cloud,
        )


def relogged(folder: Folder) -> Folder:
    """The folder with a log that tells of what is there, as whoever keeps a log can write it; nothing stamps it."""
    kept = told.kept(folder)
    told_of = [json.loads(line) for line in folder.audit_lines()]
    events = [event for event in told_of if event.get("kind", "Offer") in kept]
    named = {event["kind"]: event for event in events if event["action"] == "document"}
    events += [{**named["Offer"], "kind": kind} for kind in kept.keys() - named.keys()]
    lines, before = [], "00" * 48
    for number, event in enumerate(events, start=1):
        digest = {"sha384": kept[event["kind"]]} if event.get("kind") in kept else {}
        whole = {**event, **digest, "number": number, "previous": before}
        lines.append(json.dumps(whole, sort_keys=True, separators=(",", ":")) + "\n")
        before = hashlib.sha384(lines[-1].encode()).hexdigest()
    files = {name: data for name, data in folder.files.items() if not re.match("audit/|timestamps/audit-", name)}
    return Folder(folder.name, {**files, f"audit/000001-{len(lines):06d}.jsonl": "".join(lines).encode()})


def resigned(trailer: bytes, by: Identity) -> bytes:
    """A trailer of the same session about another VM, as good as this one."""
    context, listed = p.verify_manifest(trailer, by.leaf)
    other = p.Manifest()
    for stream, index, _ in p.Manifest.from_xml(listed):
        other.add(stream, index, bytes(32))
    return p.sign_manifest(context, other.to_xml(), by.key, by.chain)


def unpacked(content: bytes, name: str) -> Folder:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return Folder(name, {one: archive.read(one) for one in archive.namelist()})


class Judgement:
    def __init__(self, cases: list[Case]) -> None:
        self.cases = cases

    @property
    def off(self) -> list[str]:
        """What is off with the files, for a person to read."""
        return [f"{one.subject}: {one.text}" for case in self.cases for one in case.report.bad]

    def proves(self, cloud: str, code: str) -> bool:
        return (cloud, code) in {(fact.cloud, fact.code) for fact in judge.facts(self.cases)}

    @property
    def proved(self) -> list[tuple[str, str]]:
        return [(fact.cloud, fact.code) for fact in judge.facts(self.cases)]

    @property
    def convicted(self) -> list[tuple[str, str]]:
        return [(one.cloud, one.code) for one in judge.contradictions(self.cases)]

    @property
    def owing(self) -> list[str]:
        return [fact.cloud for fact in judge.owing(self.cases)]
