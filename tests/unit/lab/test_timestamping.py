# SPDX-License-Identifier: Apache-2.0
"""The lab's timestamp authority, over HTTP, against the checks that SV2M makes and against openssl's."""

import base64
import http.client
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer

import pytest

from lab.cloud import Lab
from lab.ttp.authority import Authority
from lab.ttp.service import CrlHandler
from lab.ttp.timestamping import POLICY, QUERY
from sv2m import errors
from sv2m.evidence import timestamps

DATA = b"<sv2m:Release/>"


@pytest.fixture
def authority(tmp_path):
    made = Authority(Lab(tmp_path))
    made.create()
    return made


@pytest.fixture
def ask(authority):
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (CrlHandler,), {"authority": authority}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def post(body, kind=QUERY):
        connection = http.client.HTTPConnection(*server.server_address, timeout=60)
        connection.request("POST", "/tsa", body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    yield post
    server.shutdown()
    thread.join()
    server.server_close()


def test_its_answer_is_what_sv2m_and_openssl_take(ask, authority, tmp_path):
    query = timestamps.Query.of(DATA)
    status, reply = ask(query.body)
    assert status == 200
    stamp = query.check(reply, timestamps.anchors(authority.anchor.read_bytes()), POLICY)
    assert abs(stamp.at - datetime.now(UTC)) < timedelta(minutes=5)
    assert timestamps.verify(reply, DATA, timestamps.anchors(authority.anchor.read_bytes())) == stamp
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "reply.tsr").write_bytes(reply)
    command = ["openssl", "ts", "-verify", "-data", "data", "-in", "reply.tsr", "-CAfile", str(authority.anchor)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verification: OK" in done.stdout + done.stderr


def test_two_answers_have_two_serial_numbers(ask, authority):
    roots = timestamps.anchors(authority.anchor.read_bytes())
    serials = set()
    for _ in range(2):
        query = timestamps.Query.of(DATA)
        serials.add(query.check(ask(query.body)[1], roots).serial)
    assert len(serials) == 2


def test_what_is_no_query_is_refused_as_the_rfc_says(ask, authority):
    status, reply = ask(b"\x30\x03\x02\x01\x01")
    assert status in (200, 503)
    with pytest.raises(errors.HostError):
        timestamps.Query.of(DATA).check(reply, timestamps.anchors(authority.anchor.read_bytes()))


def test_another_kind_of_body_is_not_read(ask):
    assert ask(base64.b64encode(b"x"), "text/plain")[0] == 415
