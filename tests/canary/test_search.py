# SPDX-License-Identifier: Apache-2.0
"""The search finds what was planted, however it was written, and nothing else."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import quote_from_bytes
from xml.sax.saxutils import escape

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.canary import search
from tests.canary.search import Search, files, processes
from tests.unit.transfer.channel import until

KEY = b"<canary & key>\x00\xff" + bytes(range(200, 216))
SEARCH = Search({"key": KEY})
AROUND = (b"before", b"befor", b"befo")


def _zip(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", content)
    return made.getvalue()


def _tar(content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        member = tarfile.TarInfo("inner")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


WRITTEN = {
    "raw": KEY,
    "hex": KEY.hex().encode(),
    "HEX": KEY.hex().upper().encode(),
    "colons": KEY.hex(":").encode(),
    "url": quote_from_bytes(KEY).encode(),
    "repr": repr({"key": KEY}).encode(),
    "list": json.dumps(list(KEY)).encode(),
    "json": json.dumps(KEY.decode("latin-1")).encode(),
    "xml": escape(KEY.decode("latin-1")).encode("latin-1"),
    "utf-16": KEY.decode("latin-1").encode("utf-16"),
    "base64 of hex": base64.b64encode(b"key=" + KEY.hex().encode() + b"&"),
    "lines of base64": json.dumps(base64.encodebytes(b"x" * 50 + KEY + b"y" * 50).decode()).encode(),
    "first half": KEY[:16],
    "second half": base64.b64encode(KEY[16:]),
    "zip": _zip(b"some " + KEY),
    "tar": _tar(b"some " + KEY.hex().encode()),
    **{f"base64 behind {len(text)}": base64.b64encode(text + KEY + b"behind") for text in AROUND},
    **{f"url-safe base64 behind {len(text)}": base64.urlsafe_b64encode(text + KEY + b"behind") for text in AROUND},
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_a_secret_is_found_however_it_is_written(written: bytes) -> None:
    around = written if written[:2] in (b"PK", b"\x1f\x8b") else os.urandom(1000) + written + os.urandom(1000)
    assert SEARCH.within([("there", around)])


def test_nothing_is_found_where_nothing_is() -> None:
    places = [(str(number), os.urandom(1 << 16)) for number in range(16)]
    assert not SEARCH.within([*places, ("text", Path(search.__file__).read_bytes()), ("part", KEY[:12] + KEY[20:])])


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_private_key_is_found_by_its_numbers_and_lines_but_not_by_its_public_half(kind: str) -> None:
    key = ec.generate_private_key(ec.SECP384R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private = Search({"private": pem})
    shown = [
        key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        json.dumps(pem.decode()).encode(),
        pem.splitlines()[2 if kind == "ec" else 12],
    ]
    for one in shown:
        assert private.within([("there", one)])
    public = [
        (form, key.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo))
        for form in (Encoding.DER, Encoding.PEM)
    ]
    # In a certificate it stands anywhere; one of these places begins base64's groups where the private key's lines do.
    public += [("within", base64.b64encode(bytes(number) + public[0][1] + bytes(50))) for number in range(3)]
    assert not private.within([(str(form), content) for form, content in public])


def test_files_and_processes_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" + KEY)
    assert next(leak.where for leak in SEARCH.within(files(tmp_path)) if leak.form == "raw").endswith("deep/file")
    assert not SEARCH.within(files(tmp_path, leave_out=["/deep/"]))
    program = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    for arguments, environment in (([*program, KEY.hex()], {}), (program, {"KEY": base64.b64encode(KEY).decode()})):
        shown = {**os.environ, **environment}
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=shown) as process:
            assert process.stdin and process.stdout
            # Popen returns a moment before the kernel shows the new arguments and environment.
            process.stdout.readline()
            assert any(f"/{process.pid}/" in leak.where for leak in SEARCH.within(processes()))


def test_of_processes_that_are_nobodys_child_those_are_looked_at_that_name_the_directory(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # The shell ends at once; what it has started lives until the pipe is closed.
    shell = ["sh", "-c", f"tail -n 1 {tmp_path}/pipe {KEY.hex()} > /dev/null 2>&1 & echo $!"]
    pid = int(subprocess.run(shell, stdout=subprocess.PIPE, check=True).stdout)
    with (tmp_path / "pipe").open("wb"):
        until("it is nobody's child", lambda: Path(f"/proc/{pid}/comm").read_text() == "tail\n")
        own = {where for where, _ in processes()}
        assert f"/proc/{os.getpid()}/cmdline" in own and f"/proc/{pid}/cmdline" not in own
        assert any(f"/{pid}/" in leak.where for leak in SEARCH.within(processes(tmp_path)))
