# SPDX-License-Identifier: Apache-2.0
"""Agents for tests, asked through EDM's endpoint with the plain JSON that RPC carries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from oslo_config import cfg

from sv2m import errors
from sv2m.agent.service import Agent
from sv2m.conf import agent as agent_options
from sv2m.conf import default as default_options
from sv2m.edm.server import Endpoint


class Keys:
    """A key manager in memory."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self.keys = keys

    def read(self, ref: str) -> bytearray:
        return bytearray(self.keys[ref])

    def user_id(self) -> str:
        return "agent"


def configuration(uri: str, state: Path, **options: Any) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    agent_options.register_opts(conf)
    default_options.register_opts(conf)
    conf([])
    settings = {
        "libvirt_uri": uri,
        "state_path": str(state),
        "data_listen_address": "127.0.0.1",
        "data_endpoint_host": "127.0.0.1",
        "data_port": 0,
        "retry_seconds": 5,
        **options,
    }
    for name, value in settings.items():
        conf.set_override(name, value, group="agent")
    return conf


class AgentHere:
    """An agent in this process."""

    def __init__(self, uri: str, state: Path, keys: dict[str, bytes], **options: Any) -> None:
        self.agent = Agent(configuration(uri, state, **options), Keys(keys))
        self._endpoint = Endpoint(self.agent.jobs)

    def start(self) -> None:
        self.agent.start()

    def stop(self) -> None:
        self.agent.stop()

    def call(self, method: str, **arguments: Any) -> Any:
        arguments = json.loads(json.dumps(arguments))
        return json.loads(json.dumps(getattr(self._endpoint, method)({}, **arguments)))


class AgentProcess:
    """An agent in a process of its own, that can be killed."""

    def __init__(self, uri: str, state: Path, keys: dict[str, bytes], **options: Any) -> None:
        self._start = {"uri": uri, "state": str(state), "options": options}
        self._keys = keys
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.agent.agents"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self._ask(self._start) == "started"

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(60)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def call(self, method: str, **arguments: Any) -> Any:
        keys = {ref: key.hex() for ref, key in self._keys.items()}
        return self._ask({"method": method, "arguments": arguments, "keys": keys})

    def _ask(self, request: dict[str, Any]) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"], code=answer["code"])
        return answer["result"]


def main() -> None:
    begin = json.loads(sys.stdin.readline())
    keys: dict[str, bytes] = {}
    agent = AgentHere(begin["uri"], Path(begin["state"]), keys, **begin["options"])
    agent.start()
    out = os.fdopen(os.dup(1), "w")
    print(json.dumps({"result": "started"}), file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        keys.update({ref: bytes.fromhex(key) for ref, key in request["keys"].items()})
        try:
            answer = {"result": agent.call(request["method"], **request["arguments"])}
        except errors.SV2MError as error:
            answer = {"error": type(error).__name__, "message": error.message, "code": error.code}
        print(json.dumps(answer), file=out, flush=True)
    agent.stop()


if __name__ == "__main__":
    main()
