# SPDX-License-Identifier: Apache-2.0
"""The hook: what it takes, what it passes, and how it answers."""

from __future__ import annotations

import io
import json
import os
import queue
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import requests_mock as requests_mock_module
import webob
from paste.deploy import loadapp

from sv2m.nova import answers
from sv2m.nova.caller import Caller
from sv2m.nova.filter import Filter, filter_factory
from tests.unit import tarpit

SERVER = "11111111-1111-4111-8111-111111111111"
MIGRATION = "99999999-9999-4999-8999-999999999999"
URL = "http://sv2m:9890"
ACTION = f"/servers/{SERVER}/action"


class Nova:
    """The rest of the pipeline; remembers what reached it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.bodies.append(environ["wsgi.input"].read())
        start_response("299 Nova", [])
        return [b"nova"]


class Rules:
    """Nova's rules."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.refused: answers.Answer | None = None

    def refusal(self, context: Any, server_id: str, rule: str) -> answers.Answer | None:
        self.asked.append((server_id, rule))
        return self.refused


@pytest.fixture
def nova() -> Nova:
    return Nova()


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def sv2m(requests_mock: requests_mock_module.Mocker) -> requests_mock_module.Mocker:
    requests_mock.post(
        f"{URL}/v1/migrations",
        status_code=202,
        json={"migration": {"id": MIGRATION}},
        headers={"Location": f"{URL}/v1/migrations/{MIGRATION}"},
    )
    return requests_mock


def live(host: Any = "cloud-b.sv2m") -> dict[str, Any]:
    return {"os-migrateLive": {"host": host, "block_migration": "auto"}}


@pytest.fixture
def post(nova: Nova, rules: Rules, sv2m: requests_mock_module.Mocker) -> Any:
    application = Filter(nova, Caller(URL, None, 5), rules)

    def call(body: Any, path: str = ACTION, method: str = "POST", **environ: Any) -> webob.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = webob.Request.blank(path, method=method)
        request.environ.update(
            {
                "wsgi.input": io.BytesIO(raw),
                "CONTENT_LENGTH": str(len(raw)),
                "CONTENT_TYPE": "application/json",
                "HTTP_X_AUTH_TOKEN": "the-token",
                "nova.context": SimpleNamespace(request_id="req-nova"),
                **environ,
            }
        )
        return request.get_response(application)

    return call


@pytest.mark.parametrize("path", [ACTION, f"/p1{ACTION}", f"/0123456789abcdef0123456789abcdef{ACTION}"])
@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (live(), "os_compute_api:os-migrate-server:migrate_live"),
        ({"migrate": {"host": "cloud-b.sv2m"}}, "os_compute_api:os-migrate-server:migrate"),
    ],
)
def test_migration_to_a_peer_goes_to_sv2m(
    post: Any, rules: Rules, nova: Nova, sv2m: Any, path: str, body: Any, rule: str
) -> None:
    response = post(body, path)
    assert (response.status_int, response.body) == (202, b"")
    assert response.headers["X-SV2M-Migration"] == MIGRATION
    assert response.headers["Location"] == f"{URL}/v1/migrations/{MIGRATION}"
    assert rules.asked == [(SERVER, rule)]
    assert nova.bodies == []
    sent = sv2m.last_request
    assert sent.headers["X-Auth-Token"] == "the-token"
    assert sent.headers["X-OpenStack-Request-Id"] == "req-nova"
    assert sent.json()["migration"]["server_id"] == SERVER
    assert sent.json()["migration"]["destination"] == "cloud-b.sv2m"


@pytest.mark.parametrize(
    "body",
    [
        live("compute-1"),
        live(None),
        live(""),
        live(".sv2m"),
        live(["cloud-b.sv2m"]),
        live("cloud-b.sv2m.example"),
        {"migrate": None},
        {"migrate": {}},
        {"os-migrateLive": "cloud-b.sv2m"},
        {"evacuate": {"host": "cloud-b.sv2m"}},
        {**live(), "pause": None},
        ["os-migrateLive"],
        "cloud-b.sv2m",
        b"",
        b"{",
        b"\xff\xfe\x00",
        b'  {"os-migrateLive" : {"host":"compute-1"}}\r\n',
        b'{"createBackup": {"name": "' + b"x" * 100_000 + b'"}}',
        b"[" * 4000,
    ],
)
def test_everything_else_reaches_nova_byte_for_byte(post: Any, nova: Nova, sv2m: Any, body: Any) -> None:
    response = post(body)
    assert response.status_int == 299
    assert nova.bodies == [body if isinstance(body, bytes) else json.dumps(body).encode()]
    assert not sv2m.called


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", ACTION),
        ("POST", f"/servers/{SERVER}"),
        ("POST", "/servers/not-a-server/action"),
        ("POST", f"/servers/{SERVER}/action/more"),
        ("POST", f"/flavors/{SERVER}/action"),
    ],
)
def test_other_paths_and_methods_pass(post: Any, nova: Nova, sv2m: Any, method: str, path: str) -> None:
    assert post(live(), path, method).status_int == 299
    assert nova.bodies == [json.dumps(live()).encode()]
    assert not sv2m.called


class Unreadable(io.RawIOBase):
    """A stream that nobody may touch."""

    def __init__(self, allowed: bool) -> None:
        super().__init__()
        self.touched = 0
        self.allowed = allowed

    def read(self, size: int = -1) -> bytes:
        self.touched += 1
        return b""


@pytest.mark.parametrize("length", ["", "x", "-1", "10000000"])
def test_bodies_of_unknown_or_great_length_are_not_read_by_the_filter(post: Any, length: str) -> None:
    stream = Unreadable(False)
    response = post(live(), **{"wsgi.input": stream, "CONTENT_LENGTH": length})
    assert response.status_int == 299
    assert stream.touched == 1  # Nova's own read.


def test_body_that_breaks_off_reaches_nova_as_far_as_it_came(post: Any, nova: Nova) -> None:
    raw = json.dumps(live()).encode()[:20]
    assert post(raw, CONTENT_LENGTH="60").status_int == 299
    assert nova.bodies == [raw]


def test_body_in_small_pieces(post: Any) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 1, 7))

    assert post(live(), **{"wsgi.input": Slow(json.dumps(live()).encode())}).status_int == 202


def test_novas_rule_comes_first(post: Any, rules: Rules, sv2m: Any) -> None:
    rules.refused = answers.error(403, "Policy doesn't allow it")
    response = post(live())
    assert response.status_int == 403
    assert response.json == {"forbidden": {"code": 403, "message": "Policy doesn't allow it"}}
    assert not sv2m.called


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "badRequest"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "itemNotFound"),
        (409, "conflictingRequest"),
        (500, "computeFault"),
        (502, "computeFault"),
        (503, "serviceUnavailable"),
    ],
)
def test_sv2ms_errors_in_novas_form(post: Any, sv2m: Any, status: int, name: str) -> None:
    error = {"code": "some-code", "message": "It cannot be", "remedy": "Do this.", "fault": "local"}
    sv2m.post(f"{URL}/v1/migrations", status_code=status, json={"error": error})
    response = post(live())
    assert response.status_int == status
    assert response.json == {name: {"code": status, "message": "It cannot be (some-code). Do this."}}


@pytest.mark.parametrize(
    "answer",
    [
        {"status_code": 200, "json": {}},
        {"status_code": 202, "text": "ok"},
        {"status_code": 202, "json": {"migration": {"id": "x\r\nSet-Cookie: y"}}},
        {"status_code": 302, "headers": {"Location": "http://elsewhere/"}},
    ],
)
def test_answers_that_are_none_of_sv2ms(post: Any, sv2m: Any, answer: dict[str, Any]) -> None:
    sv2m.post(f"{URL}/v1/migrations", **answer)
    assert post(live()).status_int == 502
    assert sv2m.call_count == 1


def test_unreadable_error(post: Any, sv2m: Any) -> None:
    sv2m.post(f"{URL}/v1/migrations", status_code=503, text="<html>")
    assert post(live()).json["serviceUnavailable"]["message"] == "SV2M's API answered 503"


def test_lost_answer_is_asked_for_again_with_the_same_id(post: Any, sv2m: Any) -> None:
    accepted = {"status_code": 202, "json": {"migration": {"id": MIGRATION}}}
    sv2m.post(f"{URL}/v1/migrations", [{"exc": requests.ConnectionError}, accepted])
    assert post(live()).status_int == 202
    first, second = (sent.json()["migration"]["id"] for sent in sv2m.request_history)
    assert first == second


def test_sv2m_away(post: Any, sv2m: Any) -> None:
    sv2m.post(f"{URL}/v1/migrations", exc=requests.ConnectionError)
    response = post(live())
    assert response.status_int == 503
    assert response.headers["Retry-After"] == "5"


def test_an_sv2m_that_is_slow_is_not_asked_twice(post: Any, sv2m: Any) -> None:
    """It has the request. Who asked is told under which id he finds what may have come of it."""
    sv2m.post(f"{URL}/v1/migrations", exc=requests.ReadTimeout)
    response = post(live())
    assert (response.status_int, response.headers["Retry-After"]) == (503, "5")
    assert sv2m.call_count == 1
    assert f"secure migration show {sv2m.last_request.json()['migration']['id']}" in response.text


def test_sv2m_is_asked_to_answer_before_it_asks_nova(post: Any, sv2m: Any) -> None:
    post(live())
    assert sv2m.last_request.headers["Prefer"] == "respond-async"


@pytest.mark.parametrize("endless", ["silence", "a header", "a body without a length"])
def test_an_sv2m_that_does_not_answer_costs_nova_api_two_threads_for_a_moment(
    nova: Nova, rules: Rules, endless: str
) -> None:
    """Somebody drains a host: of ten requests at once two wait, and eight are told at once to come again."""
    with tarpit.answering(endless) as pit:
        application = Filter(nova, Caller(pit.url, None, 2.0, at_once=2), rules)
        answered: queue.Queue[str] = queue.Queue()

        def ask() -> None:
            request = webob.Request.blank(ACTION, method="POST", body=json.dumps(live()).encode())
            request.environ.update({"nova.context": SimpleNamespace(request_id=None)})
            answered.put(request.get_response(application).json["serviceUnavailable"]["message"])

        asking = [threading.Thread(target=ask) for _ in range(10)]
        for thread in asking:
            thread.start()
        said = [answered.get(timeout=60) for _ in asking]
        for thread in asking:
            thread.join()
    assert ["at once" in one for one in said] == [True] * 8 + [False] * 2
    assert len(pit.threads) == 2


def test_after_a_call_the_next_one_has_its_turn(post: Any, sv2m: Any) -> None:
    sv2m.post(f"{URL}/v1/migrations", exc=requests.ReadTimeout)
    for _ in range(5):
        assert "in time" in post(live()).text


_IMPORTS = """
import sys
import sv2m.nova.filter
names = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(*sorted(name for name in names if not name.startswith(("_", "sitecustomize"))))
print(*sorted(name for name in sys.modules if name.startswith("sv2m.")))
"""


def test_nova_api_loads_nothing_for_it_but_requests() -> None:
    """Nova's Python environment has requests, with what that needs, and nothing of SV2M's server."""
    path = os.pathsep.join(str(one) for one in sys.path if one)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    packages, modules = (set(line.split()) for line in done.stdout.splitlines())
    plain = subprocess.run(
        [sys.executable, "-c", "import requests\n" + _IMPORTS.replace("import sv2m.nova.filter\n", "")],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert packages - set(plain.stdout.split()) == {"sv2m"}
    assert modules == {
        "sv2m.exchange",
        "sv2m.nova",
        "sv2m.nova.answers",
        "sv2m.nova.caller",
        "sv2m.nova.filter",
        "sv2m.nova.rules",
    }


def test_at_the_wrong_place_it_does_nothing(post: Any, sv2m: Any) -> None:
    assert post(live(), **{"nova.context": None}).status_int == 500
    assert not sv2m.called


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"secure_migration_url": "controller"},
        {"secure_migration_url": URL, "peers_suffix": ""},
        {"secure_migration_url": URL, "sufix": ".x"},
        {"secure_migration_url": URL, "timeout": "soon"},
        {"secure_migration_url": URL, "timeout": "60"},
        {"secure_migration_url": URL, "timeout": "0"},
        {"secure_migration_url": URL, "at_once": "0"},
    ],
)
def test_wrong_options_stop_nova_api(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        filter_factory({}, **options)


def application(global_conf: Any) -> Nova:
    """The application at the end of the pipeline of the next test."""
    return Nova()


def test_paste_finds_it(tmp_path: Any) -> None:
    (tmp_path / "api-paste.ini").write_text(
        "[pipeline:main]\npipeline = sv2m nova\n"
        f"[filter:sv2m]\nuse = egg:sv2m#sv2m\nsecure_migration_url = {URL}\npeers_suffix = .peer\n"
        f"[app:nova]\npaste.app_factory = {__name__}:application\n"
    )
    loaded = loadapp(f"config:{tmp_path}/api-paste.ini")
    assert isinstance(loaded, Filter)
    request = webob.Request.blank(ACTION, method="POST", body=json.dumps(live()).encode())
    assert request.get_response(loaded).status_int == 299


def test_the_token_does_not_go_through_a_proxy_of_the_environment(
    sv2m: requests_mock_module.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.test:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    Caller(URL, None, 5).migrate("token", SERVER, "cloud-b.sv2m", None)
    assert not sv2m.last_request.proxies
