# SPDX-License-Identifier: Apache-2.0
"""MariaDB: a server of its own for each cloud, a user of its own for each service."""

from __future__ import annotations

from pathlib import Path

from lab.cloud import CHARSET, PORTS, Cloud
from lab.ini import write_private
from lab.services.base import Component, Daemon, listens


def data_directory(cloud: Cloud) -> Path:
    return cloud.directory / "mariadb"


def write_grants(cloud: Cloud, databases: dict[str, tuple[str, ...]], more: str = "") -> None:
    """Write what the server executes before it accepts connections: databases, users, this cloud's passwords.

    Args:
        databases: for each user the databases it may use
        more: further statements, one a line
    """
    lines = []
    for user, names in databases.items():
        password = cloud.credentials.password(f"mariadb-{user}")
        lines.append(f"CREATE OR REPLACE USER {user}@'127.0.0.1' IDENTIFIED BY '{password}';")
        for name in names:
            lines.append(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET {CHARSET.get(name, 'utf8mb3')};")
            lines.append(f"GRANT ALL ON {name}.* TO {user}@'127.0.0.1';")
    write_private(cloud.etc / "mariadb-init.sql", "\n".join(lines) + "\n" + more)


def _command(cloud: Cloud) -> list[str]:
    return [
        *("/usr/sbin/mariadbd", "--no-defaults", "--user=root", f"--datadir={data_directory(cloud)}"),
        *("--bind-address=127.0.0.1", f"--port={PORTS['mariadb']}", f"--socket={cloud.run / 'mysql.sock'}"),
        *(f"--pid-file={cloud.run / 'mariadbd.pid'}", f"--init-file={cloud.etc / 'mariadb-init.sql'}"),
        *(
            "--innodb-buffer-pool-size=96M",
            "--innodb-log-file-size=16M",
            "--innodb-flush-log-at-trx-commit=2",
        ),
        *("--performance-schema=0", "--max-connections=500", "--skip-name-resolve"),
    ]


DAEMON = Daemon("mariadb", _command, listens("mariadb"), port=PORTS["mariadb"], needs=("databases",))
COMPONENT = Component("mariadb", lambda cloud: None, (DAEMON,))
