# SPDX-License-Identifier: Apache-2.0
"""A MariaDB data directory with all databases, empty but migrated: made once, copied to each cloud.

The migrations are most of the work of a first start, and their result is the same for every cloud. It is
kept in the lab's cache under a key of all versions that went into it, and of SV2M's own migrations themselves: those
change while its version does not. It holds no user but root by unix
socket: each cloud's users and passwords come at its own server's start.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from lab import namespace
from lab.cloud import CHARSET, Cloud, Lab
from lab.plan import Plan
from lab.process import stop
from lab.services import components
from lab.services.base import Component, service_environment
from lab.services.mariadb import DAEMON, data_directory, write_grants
from lab.services.nova import FRESH_CELL

#: Names of Python distributions whose migrations or SQL compilers decide what the databases look like.
_DISTRIBUTIONS = (
    "keystone",
    "openstack-placement",
    "glance",
    "barbican",
    "neutron",
    "cinder",
    "nova",
)
_OWN_MIGRATIONS = Path(__file__).parents[1] / "sv2m" / "db"
_DISTRIBUTIONS_BELOW = ("SQLAlchemy", "alembic", "oslo.db", "PyMySQL")


def users() -> dict[str, tuple[str, ...]]:
    """For each service that has databases, their names."""
    return {part.name: part.databases for part in components() if part.databases}


def template(lab: Lab) -> Path:
    """Where the data directory for today's versions is, or will be."""
    lines = [
        subprocess.run(["/usr/sbin/mariadbd", "--version"], capture_output=True, text=True, check=True).stdout
    ]
    for name in (*_DISTRIBUTIONS, *_DISTRIBUTIONS_BELOW):
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} -")
    lines += [repr(part.schema(lab.schema_room)) + repr(part.databases) for part in components()]
    lines.append(repr(CHARSET))
    lines += [path.read_text() for path in (Path(__file__), *sorted(_OWN_MIGRATIONS.glob("**/*.py")))]
    return lab.cache / f"databases-{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"


def add_steps(plan: Plan, lab: Lab) -> None:
    """Add what makes the template, ending with the step `databases`, which is empty if it is there."""
    target = template(lab)
    if target.exists():
        plan.add("databases", lambda: None)
        return
    room = lab.schema_room
    plan.add("databases: server", lambda: _start_server(room))
    migrations = []
    for part in components():
        if part.databases:
            plan.add(f"databases: {part.name}", _migration(room, part), ["databases: server"])
            migrations.append(f"databases: {part.name}")
    plan.add("databases", lambda: _finish(room, target), migrations)


def _start_server(room: Cloud) -> None:
    namespace.create(room)
    (room.directory / "home").mkdir(exist_ok=True)
    install = [
        "/usr/bin/mariadb-install-db",
        "--no-defaults",
        "--user=root",
        f"--datadir={data_directory(room)}",
    ]
    install += ["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"]
    namespace.run(room, [*install, "--innodb-log-file-size=16M"])
    for part in components():
        part.configure(room)
    write_grants(room, users())
    DAEMON.start(room)


def _migration(room: Cloud, part: Component) -> Callable[[], None]:
    def migrate() -> None:
        environment = {**service_environment(room), **part.environment(room)}
        for command in part.schema(room):
            namespace.run(room, command, environment=environment)

    return migrate


def _finish(room: Cloud, target: Path) -> None:
    """Stop the server cleanly, so that the copies need no recovery, and keep its data directory."""
    names = ", ".join(f"{user}@'127.0.0.1'" for user in users())
    client = ["/usr/bin/mariadb", "--no-defaults", f"--socket={room.run / 'mysql.sock'}"]
    namespace.run(room, client, input=f"DROP USER {names}; SET GLOBAL innodb_fast_shutdown = 0;")
    server = DAEMON.record(room).running()
    if server is not None:
        server.signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while server.alive() and time.monotonic() < deadline:
            time.sleep(0.1)
    stop(namespace.members(room))
    for old in target.parent.glob("databases-*"):
        shutil.rmtree(old)
    target.parent.mkdir(parents=True, exist_ok=True)
    data_directory(room).rename(target)
    shutil.rmtree(room.directory)


def copy(cloud: Cloud) -> None:
    """Give a cloud its copy, and write down what its server does first: users with this cloud's passwords."""
    source = template(cloud.lab)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(data_directory(cloud))], check=True)
    write_grants(cloud, users(), FRESH_CELL)
