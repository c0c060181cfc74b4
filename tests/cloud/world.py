# SPDX-License-Identifier: Apache-2.0
"""What the stories of this directory are told with: two clouds, their operators, and how to look at everything."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab.guests import Guests, TimedOutError, until
from lab.namespace import members
from lab.process import Process
from lab.rest import ApiError, Client
from lab.services import sv2m
from lab.session import LabSession
from lab.ttp.authority import Authority

FINAL = {"completed", "refused", "failed", "aborted"}


class Side:
    """One cloud, with its operator, its project manager and its auditor."""

    def __init__(self, lab: LabSession, name: str) -> None:
        self.session = lab.cloud(name)
        self.name = self.session.cloud.full_name
        self.manager = Guests(self.session, "mona", "research")
        self.admin = Guests(self.session, "admin", "admin")
        self.before = self.inventory()

    def migrations(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin.call("GET", "sv2m-api", "/migrations?all_projects=true")["migrations"]
        return found

    def migration(self, identifier: str) -> dict[str, Any]:
        found: dict[str, Any] = self.admin.call("GET", "sv2m-api", f"/migrations/{identifier}")["migration"]
        return found

    def ports_of(self, server: str) -> list[dict[str, Any]]:
        """The Neutron ports that are bound to a server."""
        found: list[dict[str, Any]] = self.admin.call("GET", "neutron", f"/ports?device_id={server}")["ports"]
        return found

    def made_groups(self) -> list[dict[str, Any]]:
        """The security groups that SV2M has made, for arriving servers and for those that have arrived."""
        found = self.admin.call("GET", "neutron", "/security-groups")["security_groups"]
        return [one for one in found if one["name"].startswith("sv2m-")]

    def inventory(self) -> dict[str, set[str]]:
        """Everything that a migration could leave behind, by kind; history and logs are not among it."""
        admin, cloud = self.admin, self.session.cloud
        with self.session.in_network():
            service = Client(cloud, "sv2m", "service")
            secrets = service.call("GET", "barbican", "/secrets?limit=100")["secrets"]
        providers = admin.call("GET", "placement", "/resource_providers")["resource_providers"]
        allocations: set[str] = set()
        for provider in providers:
            path = f"/resource_providers/{provider['uuid']}/allocations"
            allocations |= set(admin.call("GET", "placement", path)["allocations"])
        agent = cloud.directory / "sv2m" / "agent"
        kept = ("sv2m evidence", "cloud-")
        return {
            "servers": _ids(admin.call("GET", "nova-api", "/servers?all_tenants=1")["servers"]),
            "volumes": _ids(admin.call("GET", "cinder-api", "/volumes?all_tenants=1")["volumes"]),
            "ports": _ids(admin.call("GET", "neutron", "/ports")["ports"]),
            # Those that have arrived are their owner's.
            "security groups": _ids([one for one in self.made_groups() if "arrived" not in one["name"]]),
            "images": _ids(admin.call("GET", "glance", "/images")["images"]),
            "allocations": allocations,
            "session secrets": {
                secret["secret_ref"]
                for secret in secrets
                if not any(word in (secret["name"] or "") for word in kept)
            },
            "agent files": {str(path.relative_to(agent)) for path in agent.rglob("*") if not path.is_dir()},
            "domains": set(self.session.run(["virsh", "list", "--all", "--uuid"]).stdout.split()),
            "libvirt secrets": set(self.session.run(["virsh", "secret-list"]).stdout.split("\n")[2:]) - {""},
            "qemu-nbd": self.running("qemu-nbd"),
        }

    def running(self, program: str) -> set[str]:
        """Ids of the processes of a program on the cloud's host, whoever started them."""
        here = Path(f"/proc/{self.session.process('libvirtd').pid}/ns/net").readlink()  # type: ignore[union-attr]
        found = set()
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                named = process.name.isdigit() and (process / "comm").read_text().strip() == program
                if named and (process / "ns" / "net").readlink() == here:
                    found.add(process.name)
        return found

    def processes(self, service: str) -> list[Process]:
        """A service's own process and all that it started: workers, the broker's Erlang machine."""
        leader = self.session.process(service)
        if leader is None:
            return []
        return [process for process in members(self.session.cloud) if _session_of(process) == leader.pid]

    def kill(self, service: str) -> None:
        """SIGKILL every process of a service, at once: a worker that outlived its master would tidy up first."""
        dying = self.processes(service)
        assert dying, f"{service} does not run at {self.name}"
        for process in dying:
            process.signal(signal.SIGKILL)
        until(lambda: None if any(process.alive() for process in dying) else True, f"{service} is dead", pause=0.02)

    def start(self, service: str) -> None:
        """Start it again, as an init system would."""
        if self.session.process(service) is None:
            self.session.start(service)


class World:
    """Both clouds."""

    def __init__(self, lab: LabSession) -> None:
        self.lab = lab
        self.a = Side(lab, "a")
        self.b = Side(lab, "b")

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    def request(self, source: Side, server: str, *, by: Guests | None = None) -> str:
        """Ask for a migration, as the project's manager unless said otherwise; the migration's id."""
        wanted = {"migration": {"server_id": server, "destination": self.other(source).name}}
        made: str = (by or source.manager).call("POST", "sv2m-api", "/migrations", wanted)["migration"]["id"]
        return made

    def finished(self, side: Side, migration: str) -> dict[str, Any]:
        """Wait until the migration is over on one side, and return it."""

        def look() -> dict[str, Any] | None:
            found = side.migration(migration)
            return found if found["status"] in FINAL else None

        try:
            return until(look, f"migration {migration} is over at {side.name}", 420)
        except TimedOutError as error:
            raise TimedOutError(f"{error}; it is {side.migration(migration)}") from None

    def closed(self, side: Side, migration: str) -> None:
        """Wait until the Closure has been delivered, or taken."""
        until(lambda: side.migration(migration)["phase"] == "closed" or None, f"{migration} is closed at {side.name}")

    def reaches(self, side: Side, migration: str, *phases: str) -> dict[str, Any]:
        """Wait until the migration is in one of these phases; fail when it is over without."""

        def look() -> dict[str, Any] | None:
            found = side.migration(migration)
            assert found["phase"] in phases or found["status"] not in FINAL, found
            return found if found["phase"] in phases else None

        return until(look, f"migration {migration} is in {phases} at {side.name}", pause=0.02)

    def migrate(self, source: Side, server: str) -> tuple[dict[str, Any], str]:
        """A whole migration that succeeds: how the source shows it, and the server's id at the destination."""
        migration = self.request(source, server)
        done = self.finished(source, migration)
        assert done["status"] == "completed", done
        landed = self.finished(self.other(source), migration)
        assert landed["status"] == "completed", landed
        # The last word has arrived as well: the evidence is complete on both sides.
        self.closed(source, migration)
        self.closed(self.other(source), migration)
        return done, landed["server_id"]

    def runnable(self, *servers: tuple[Side, str]) -> list[tuple[str, str]]:
        """Which of these servers could run: those that Nova shows as active, paused or suspended."""
        found = []
        for side, server in servers:
            shown = side.admin.show(server)
            if shown is not None and shown["status"] in ("ACTIVE", "PAUSED", "SUSPENDED"):
                found.append((side.name, server))
        return found

    def enrol_again(self, side: Side) -> None:
        """Get a cloud its next certificate, as its operator would after a revocation."""
        config = str(sv2m.config(side.session.cloud))
        side.session.run(["sv2m-manage", "--config-file", config, "certificate", "renew"])

    def enrol_by_file(self, side: Side) -> str:
        """Get a cloud its next certificate without EST, as where the authority is an office with a letter box.

        :returns: what ``sv2m-manage`` said.
        """
        manage = ["sv2m-manage", "--config-file", str(sv2m.config(side.session.cloud)), "certificate"]
        request = x509.load_pem_x509_csr(side.session.run([*manage, "request"]).stdout.encode())
        authority = Authority(self.lab.lab)
        certificate = authority.certify(request, side.name).public_bytes(serialization.Encoding.PEM).decode()
        return side.session.run([*manage, "import", "-"], input=certificate + authority.anchor.read_text()).stdout

    def tidy(self) -> None:
        """Delete the servers and volumes that the test's users have; start what a test has killed."""
        for side in (self.a, self.b):
            for service in ("sv2m-engine", "sv2m-agent", "sv2m-gateway", "sv2m-api"):
                side.start(service)
        for side in (self.a, self.b):
            for migration in side.migrations():
                if migration["status"] not in FINAL:
                    self.finished(side, migration["id"])
            for server in side.admin.call("GET", "nova-api", "/servers?all_tenants=1")["servers"]:
                with contextlib.suppress(ApiError):
                    side.admin.act(server["id"], "unlock")
                ports = side.ports_of(server["id"])
                side.admin.delete(server["id"])
                for port in ports:
                    # Nova keeps a port that it did not make itself; so it does with one of an arrived server.
                    with contextlib.suppress(ApiError):
                        side.admin.call("DELETE", "neutron", f"/ports/{port['id']}")
            for group in side.made_groups():
                with contextlib.suppress(ApiError):
                    side.admin.call("DELETE", "neutron", f"/security-groups/{group['id']}")

    def leftovers(self) -> list[str]:
        """What is there now and was not before the first test."""
        found: list[str] = []

        def look() -> bool | None:
            found.clear()
            found.extend(self._leftovers())
            return None if found else True

        with contextlib.suppress(TimedOutError):
            # Nova and Placement tidy up a moment after they have answered.
            until(look, "nothing is left", 60, pause=1.0)
        return found

    def _leftovers(self) -> Iterator[str]:
        for side in (self.a, self.b):
            for kind, now in side.inventory().items():
                yield from (f"{side.name}: {kind}: {one}" for one in sorted(now - side.before[kind]))


def _ids(listed: list[dict[str, Any]]) -> set[str]:
    return {one["id"] for one in listed}


def _session_of(process: Process) -> int | None:
    """Field 6 of /proc/<pid>/stat; None when the process has gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[3])
    return None
