# SPDX-License-Identifier: Apache-2.0
"""What a part of a cloud is made of, and what most parts' configuration has in common."""

from __future__ import annotations

import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.cloud import PORTS, REGION, REPOSITORY, VENV, Cloud
from lab.ini import Value
from lab.namespace import in_network, inside
from lab.process import Process, Record, spawn

START_TIMEOUT = 180.0


class NotReadyError(Exception):
    """A service ended, or did not answer in time; the message says where its log is."""


@dataclass(frozen=True)
class Daemon:
    """One process of a cloud.

    `needs` are names of daemons or steps of the same cloud that must be ready before it is started.
    `ready` returns True once others may rely on it; it is asked again and again inside the cloud's network.
    """

    name: str
    command: Callable[[Cloud], list[str]]
    ready: Callable[[Cloud], bool]
    needs: tuple[str, ...] = ()
    environment: Callable[[Cloud], Mapping[str, str]] = lambda cloud: {}
    port: int | None = None

    def record(self, cloud: Cloud) -> Record:
        return Record(cloud.run / f"{self.name}.json")

    def logs(self, cloud: Cloud) -> Path:
        """The service's own log file, else what it printed."""
        own = cloud.log / f"{self.name}.log"
        return own if own.exists() else cloud.log / f"{self.name}.out"

    def start(self, cloud: Cloud) -> None:
        """Start the process and wait until it is ready; NotReadyError if it ends or takes too long."""
        output = cloud.log / f"{self.name}.out"
        environment = {**service_environment(cloud), **self.environment(cloud)}
        process = spawn(
            inside(cloud, self.command(cloud)), self.record(cloud), output, environment, cloud.directory
        )
        self.wait(cloud, process)

    def wait(self, cloud: Cloud, process: Process) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        with in_network(cloud):
            while not self.ready(cloud):
                if not process.alive():
                    raise NotReadyError(f"{self.name} of cloud {cloud.name} ended; see {self.logs(cloud)}")
                if time.monotonic() > deadline:
                    raise NotReadyError(
                        f"{self.name} of cloud {cloud.name} does not answer; see {self.logs(cloud)}"
                    )
                time.sleep(0.2)


@dataclass(frozen=True)
class Component:
    """A part of a cloud: its configuration, its databases and how to migrate them, its processes."""

    name: str
    configure: Callable[[Cloud], None]
    daemons: tuple[Daemon, ...]
    databases: tuple[str, ...] = ()
    schema: Callable[[Cloud], list[list[str]]] = field(default=lambda cloud: [])
    environment: Callable[[Cloud], Mapping[str, str]] = lambda cloud: {}


def service_environment(cloud: Cloud) -> dict[str, str]:
    """A service's environment: nothing of the caller's, so no proxy, CA bundle or password of his gets in."""
    return {
        "PATH": f"{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(cloud.directory / "home"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{REPOSITORY}:{cloud.directory / 'plugins'}",
        "PYTHONWARNINGS": "ignore",
    }


def program(name: str, config: Path) -> list[str]:
    return [str(VENV / "bin" / name), "--config-file", str(config)]


def sample(service: str, name: str, cloud: Cloud) -> Path:
    """Copy a configuration file that the service's package brings, and return where it is now."""
    target = cloud.etc / service / name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = VENV / "etc" / service / name
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
    return target


#: Files that are WSGI applications; where there is none, a service names its log in its configuration.
_WSGI = Path(__file__).parents[1] / "wsgi"


def uwsgi(module: str, port: str, *more: str, threads: int = 4) -> list[str]:
    """Command line that serves a WSGI module as `module:application` on the cloud's loopback interface."""
    file = _WSGI / port
    application = ["--wsgi-file", str(file)] if file.exists() else ["--module", f"{module}:application"]
    return [
        *(str(VENV / "bin" / "uwsgi"), "--http-socket", f"127.0.0.1:{PORTS[port]}", *application),
        *("--master", "--processes", "1", "--threads", str(threads), "--enable-threads", "--lazy-apps"),
        *("--buffer-size", "65535", "--die-on-term", "--need-app", "--add-header", "Connection: close"),
        *("--disable-logging", "--log-5xx", *more),
    ]


def answers_http(port: str) -> Callable[[Cloud], bool]:
    """Ready when any HTTP answer that is not the server's own failure comes."""

    def ready(cloud: Cloud) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(cloud.url(port, "/"), timeout=60).close()
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False
        return True

    return ready


def listens(port: str) -> Callable[[Cloud], bool]:
    """Ready when the TCP port accepts connections."""

    def ready(cloud: Cloud) -> bool:
        try:
            socket.create_connection(("127.0.0.1", PORTS[port]), 1).close()
        except OSError:
            return False
        return True

    return ready


def logged(name: str, *texts: str) -> Callable[[Cloud], bool]:
    """Ready when one of the texts is in the log: for services that offer nothing to ask."""

    def ready(cloud: Cloud) -> bool:
        path = cloud.log / name
        content = path.read_text(errors="replace") if path.exists() else ""
        return any(text in content for text in texts)

    return ready


def credentials(cloud: Cloud, user: str, project: str = "service") -> dict[str, Value]:
    """Options by which a service logs in to Keystone as `user` of a project."""
    return {
        "auth_type": "password",
        "auth_url": cloud.auth_url,
        "project_name": project,
        "project_domain_name": "Default",
        "user_domain_name": "Default",
        "username": user,
        "password": cloud.credentials.password(user),
        "region_name": REGION,
    }


def authtoken(cloud: Cloud, user: str) -> dict[str, Value]:
    """The [keystone_authtoken] section."""
    own = credentials(cloud, user)
    del own["region_name"]
    return {
        **own,
        "www_authenticate_uri": cloud.auth_url,
        "service_token_roles_required": True,
        "service_token_roles": "service",
    }


def barbican_sections(cloud: Cloud) -> dict[str, dict[str, Value]]:
    """How a service reaches the key manager, with its caller's token."""
    endpoints = {"auth_endpoint": cloud.auth_url, "barbican_endpoint": cloud.url("barbican")}
    return {"key_manager": {"backend": "barbican"}, "barbican": {**endpoints, "barbican_region_name": REGION}}
