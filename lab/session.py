# SPDX-License-Identifier: Apache-2.0
"""A running lab for tests and for the demonstration: commands and connections inside a cloud."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lab import catalog, namespace
from lab.cloud import REGION, Cloud, Lab, Room
from lab.process import Process
from lab.services import components
from lab.services.base import Daemon, service_environment


def user_environment(cloud: Cloud, user: str = "admin", project: str | None = None) -> dict[str, str]:
    """Environment in which `openstack` is `user`; nothing of the caller's environment is in it.

    Args:
        project: name of the project to act in; by default the one in which the lab gave the user a role
    """
    return {
        **service_environment(cloud),
        "OS_AUTH_URL": cloud.auth_url,
        "OS_USERNAME": user,
        "OS_PASSWORD": cloud.credentials.password(user),
        "OS_PROJECT_NAME": project or catalog.project_of(user),
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": REGION,
        "OS_INTERFACE": "public",
    }


class CloudSession:
    """One running cloud.

    Every method raises lab.namespace.NotRunningError when the cloud is down.
    """

    def __init__(self, cloud: Cloud) -> None:
        #: Names, addresses, ports and paths.
        self.cloud = cloud

    def run(
        self,
        command: Sequence[str],
        *,
        user: str = "admin",
        project: str | None = None,
        environment: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 300,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the cloud with a user's OS_* variables; at most `timeout` seconds.

        Raises:
            lab.namespace.CommandFailedError: it ended with an error, and `check` is true
            subprocess.TimeoutExpired: it took too long
        """
        merged = {**user_environment(self.cloud, user, project), **(environment or {})}
        return namespace.run(
            self.cloud, command, environment=merged, input=input, timeout=timeout, check=check
        )

    def in_network(self) -> AbstractContextManager[None]:
        """Context in which the calling thread's new sockets are in the cloud's network."""
        return namespace.in_network(self.cloud)

    def password(self, user: str) -> str:
        return self.cloud.credentials.password(user)

    def daemon(self, name: str) -> Daemon:
        """The service called `name`, such as `nova-compute`; KeyError if there is none."""
        return {daemon.name: daemon for part in components() for daemon in part.daemons}[name]

    def process(self, name: str) -> Process | None:
        """The running process of a service, to be signalled by a test; None if it does not run."""
        return self.daemon(name).record(self.cloud).running()

    def start(self, name: str) -> None:
        """Start a service again that a test has ended, and wait until it is ready."""
        self.daemon(name).start(self.cloud)

    def console(self, server_id: str) -> str:
        """What a server has printed on its console so far."""
        path = self.cloud.console_directory / server_id / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""


class LabSession:
    """A running lab: `LabSession.load().cloud("a").run(["openstack", "server", "list"], user="alice")`."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @classmethod
    def load(cls, directory: str | Path | None = None) -> LabSession:
        """The lab in `directory`, else in $SV2M_LAB_DIR, else in the default place."""
        return cls(Lab.load(directory))

    def cloud(self, name: str) -> CloudSession:
        """Cloud `a` or `b`."""
        return CloudSession(self.lab.cloud(name))

    def in_network(self, name: str) -> AbstractContextManager[None]:
        """As CloudSession.in_network, for `a`, `b` or `ttp`."""
        rooms: dict[str, Room] = {room.name: room for room in self.lab.rooms()}
        return namespace.in_network(rooms[name])
