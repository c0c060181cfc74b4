# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from tests.canary.capture import Capture
from tests.canary.search import Search
from tests.unit.transfer.channel import until

KEY = os.urandom(32)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen to an interface")
def test_what_is_said_on_a_connection_is_found(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            near, _ = server.accept()
            with near:
                # An answer after half of the question would reset the connection before the rest is seen.
                asked = b""
                while len(asked) < len(b"question " + KEY):
                    asked += near.recv(1 << 16)
                near.sendall(b"answer " + KEY[::-1])

        threading.Thread(target=answer, daemon=True).start()
        with Capture("lo", tmp_path / "capture", contextlib.nullcontext(), (port,)) as capture:
            with socket.create_connection(("127.0.0.1", port)) as sock:
                # In two pieces, as TCP likes it.
                sock.sendall(b"question " + KEY[:10])
                sock.sendall(KEY[10:])
                while sock.recv(1 << 16):
                    continue
            until("both ways are there", lambda: len(list((tmp_path / "capture").iterdir())) == 2)
    places = list(capture.places())
    assert {leak.form for leak in Search({"key": KEY}).within(places)} >= {"raw"}
    assert sum(content.count(KEY) for _, content in places) == 1, "the loopback shows it once"
    assert Search({"key": KEY[::-1]}).within(places)
