# SPDX-License-Identifier: Apache-2.0
"""The folder's own text, followed to the letter with xmlsec1 and openssl; and the command that does the same."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import sqlalchemy as sa

from sv2m import protocol as p
from sv2m.api import evidence
from sv2m.cli.evidence import VerifyEvidence
from sv2m.db import engine, migrations, timestamps
from sv2m.engine import retention
from sv2m.engine.stamping import Stamper
from sv2m.evidence.folder import Folder, message_file
from sv2m.protocol.wire.element import DS
from tests.protocol import clouds
from tests.protocol.clouds import MIGRATION, other_id
from tests.unit.evidence.court import STAMPED, Court, kept, resigned, unpacked

NEEDED = pytest.mark.skipif(
    not (shutil.which("xmlsec1") and shutil.which("openssl")), reason="xmlsec1 and openssl are needed"
)
#: Programs that the text may use: the two, and what every shell has.
ALLOWED = {"xmlsec1", "openssl", "cat", "cut", "grep", "sed", "while", "before", "of"}


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
    assert {re.split(r"[ =]", command)[0] for command in commands} <= ALLOWED
    count = {word: sum(word in command for command in commands) for word in ("xmlsec1", "openssl ts", "openssl verify")}
    # Ten messages and the manifest; five messages, the log after each of its ends, two archives; two clouds.
    assert count == {"xmlsec1": 11, "openssl ts": 5 + 3 + 2, "openssl verify": 2}
    for command in commands:
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if "openssl ts" in command:
            assert "Verification: OK" in done.stdout + done.stderr
        if command.startswith(("of=", "grep -qF")):
            assert done.stdout.startswith("OK: ")
        if command.startswith(("before=", "while ")):
            assert done.stdout == "", "nothing is printed where all is whole"


@NEEDED
@pytest.mark.parametrize(
    ("begins", "found_by"),
    [
        ("messages/09-", "xmlsec1"),
        ("messages/10-", "openssl ts"),
        ("timestamps/09-", "openssl ts"),
        ("timestamps/archive-1.sha512", "openssl ts"),
        ("timestamps/11-", "while read"),
        ("audit/000001-", "before="),
        ("audit/000001-", "while read"),
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
    broken = failing(folder, but="while read")
    assert [command for command in broken if command.startswith("of=")]
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
        (found,) = finding(unstamped, path.name)
    assert "nothing else" in found


@NEEDED
@pytest.mark.parametrize("beside", [False, True], ids=["as it is", "its parts beside it"])
def test_a_manifests_signature_is_none_of_a_message(court: Court, tmp_path: Path, beside: bool) -> None:
    """A never gave its Release, and B has A's signature over the VM, and the segments. xmlsec1 looks for these, finds
    them in the folder, says OK, and nothing of the message was signed. Where the signed parts stand beside the
    signature it says so only when it is told of their Ids, as for manifest.xml; the command before refuses both."""
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
        found = finding(folder, path.name)
    assert "nothing else" in found[0]
    assert len(found) == 1 + beside


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
    (found,) = failing(folder, but="while read")
    assert "TrailerDigest" in found


class _App(SimpleNamespace):
    """As much of the openstack command as a command needs."""


def verify(folder: Path, *more: str) -> tuple[int, str]:
    """As the openstack command runs it, in this process."""
    import io

    out = io.StringIO()
    command = VerifyEvidence(_App(stdout=out, options=SimpleNamespace(), api_version={}, LOG=None), None)
    parsed = command.get_parser("verify").parse_args([str(folder), *more, "-f", "csv"])
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


def test_the_zip_file_is_as_good_as_the_folder(folder: Path, court: Court, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    assert verify(Path(packed), "--ca", str(court.authority.anchor))[0] == 0


def test_checking_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, sv2m.cli.evidence; "
        "print([n for n in sys.modules if n.split('.')[:2] in "
        "[['sv2m', r] for r in ('db', 'conf', 'engine', 'api', 'cmm', 'gateway', 'rpc')]])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
