# SPDX-License-Identifier: Apache-2.0
"""Names, addresses, ports and paths: everything that has a fixed place in a lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab.credentials import Credentials

DEFAULT_DIRECTORY = "/var/tmp/sv2m-lab"
DIRECTORY_VARIABLE = "SV2M_LAB_DIR"

REPOSITORY = Path(__file__).resolve().parent.parent
#: Where the services' programs and their sample configuration are: this interpreter's environment.
VENV = Path(sys.prefix)

DOMAIN = "sv2m"
REGION = "RegionOne"
#: Of the databases in which names may have any character; the others are as their services' migrations were made.
CHARSET = {"sv2m": "utf8mb4"}
PORTS = {
    "mariadb": 3306,
    "epmd": 4369,
    "keystone": 5000,
    "rabbitmq": 5672,
    "nova-api": 8774,
    "cinder-api": 8776,
    "placement": 8778,
    "glance": 9292,
    "barbican": 9311,
    "neutron": 9696,
    "sv2m-api": 9890,
    "sv2m-gateway": 9891,
    "sv2m-agent": 9893,
    "ttp": 8443,
    "ttp-crl": 8080,
}
#: The network between the clouds, and each cloud's own network to the trusted third party.
PEER_ADDRESS = {"a": "10.77.0.1", "b": "10.77.0.2"}
TTP_LINK = {"a": ("10.77.1.1", "10.77.1.2"), "b": ("10.77.2.1", "10.77.2.2")}


@dataclass(frozen=True)
class Room:
    """A part of the lab with namespaces and processes of its own: a cloud, or the trusted third party."""

    name: str
    lab: Lab

    @property
    def directory(self) -> Path:
        return self.lab.directory / self.name

    @property
    def etc(self) -> Path:
        return self.directory / "etc"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def marker(self) -> str:
        """Source of the tmpfs that exists only in this room's mount namespace.

        It names the room and the lab's directory, so that it can tell whose process it is that has it among
        its mounts, also after the records of the lab were lost.
        """
        return f"sv2m-lab:{self.name}:{str(self.lab.directory).encode().hex()}"

    @property
    def hostname(self) -> str:
        return self.name

    def hosts(self) -> str:
        """Content of /etc/hosts inside the room."""
        return (
            "127.0.0.1 localhost\n"
            + "".join(f"{PEER_ADDRESS[n]} cloud-{n}.{DOMAIN}\n" for n in PEER_ADDRESS)
            + f"127.0.1.1 {self.hostname}\n"
        )


@dataclass(frozen=True)
class TrustedThirdParty(Room):
    """The room of the certificate authority both clouds trust."""

    def hosts(self) -> str:
        return super().hosts() + f"127.0.0.1 ttp.{DOMAIN}\n"


@dataclass(frozen=True)
class Cloud(Room):
    """One OpenStack cloud of the lab."""

    @property
    def hostname(self) -> str:
        return f"compute-{self.name}"

    @property
    def full_name(self) -> str:
        """The name under which the other cloud knows this one."""
        return f"cloud-{self.name}.{DOMAIN}"

    @property
    def address(self) -> str:
        """Address on the network between the clouds; only SV2M listens there."""
        return PEER_ADDRESS[self.name]

    @property
    def tls(self) -> Path:
        """ca.pem (this cloud's own CA for TLS), gateway.pem and gateway.key."""
        return self.etc / "tls"

    @property
    def console_directory(self) -> Path:
        return self.directory / "nova" / "instances"

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials(self.directory / "credentials.json")

    def hosts(self) -> str:
        return super().hosts() + f"{TTP_LINK[self.name][0]} ttp.{DOMAIN}\n"

    def url(self, service: str, path: str = "") -> str:
        """URL of one of its APIs; plain HTTP because it is reachable on its own loopback only."""
        return f"http://127.0.0.1:{PORTS[service]}{path}"

    @property
    def auth_url(self) -> str:
        return self.url("keystone", "/v3")

    def database_url(self, user: str, database: str) -> str:
        password = self.credentials.password(f"mariadb-{user}")
        place, charset = f"127.0.0.1:{PORTS['mariadb']}", CHARSET.get(database, "utf8")
        return f"mysql+pymysql://{user}:{password}@{place}/{database}?charset={charset}"

    def transport_url(self, user: str = "openstack", vhost: str = "") -> str:
        password = self.credentials.password(f"rabbitmq-{user}")
        return f"rabbit://{user}:{password}@127.0.0.1:{PORTS['rabbitmq']}/{vhost}"


@dataclass(frozen=True)
class SchemaRoom(Cloud):
    """Where the empty databases are made that every cloud starts from; no network."""

    @property
    def hostname(self) -> str:
        return "schema"

    def hosts(self) -> str:
        return "127.0.0.1 localhost\n127.0.1.1 schema\n"


@dataclass(frozen=True)
class Lab:
    """A lab in its directory. Several labs may run at once; nothing of a lab has a global name."""

    directory: Path

    @classmethod
    def load(cls, directory: str | os.PathLike[str] | None = None) -> Lab:
        """The lab in `directory`, else in $SV2M_LAB_DIR, else in /var/tmp/sv2m-lab. It need not run."""
        return cls(Path(directory or os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY).resolve())

    @cached_property
    def clouds(self) -> dict[str, Cloud]:
        return {name: Cloud(name, self) for name in PEER_ADDRESS}

    def cloud(self, name: str) -> Cloud:
        """Cloud `a` or `b`; KeyError for anything else."""
        return self.clouds[name]

    @cached_property
    def ttp(self) -> TrustedThirdParty:
        return TrustedThirdParty("ttp", self)

    @cached_property
    def schema_room(self) -> SchemaRoom:
        return SchemaRoom("schema", self)

    @property
    def cache(self) -> Path:
        """What `up` made once and may use again: migrated databases, the guest's image."""
        return self.directory / "cache"

    def rooms(self) -> Iterator[Room]:
        yield self.ttp
        yield from self.clouds.values()
        yield self.schema_room
