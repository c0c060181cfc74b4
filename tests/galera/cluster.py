# SPDX-License-Identifier: Apache-2.0
"""A Galera cluster of MariaDB's own packages, on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
_SERVER = "/usr/sbin/mariadbd"
#: Seconds in which a node must have joined.
_PATIENCE = 180.0


def installed() -> bool:
    """Whether this machine has what a cluster needs."""
    return PROVIDER.exists() and Path(_SERVER).exists() and Path("/usr/bin/rsync").exists()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Node:
    """One server. ``group`` is the port on which it talks to the others."""

    directory: Path
    port: int = field(default_factory=_free_port)
    group: int = field(default_factory=_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/sv2m"

    def start(self, others: list[Node]) -> None:
        """Begin a cluster, or join the others'."""
        data = self.directory / "data"
        if not others:
            subprocess.run(
                ["mariadb-install-db", "--no-defaults", "--user=root", "--auth-root-authentication-method=normal",
                 f"--datadir={data}", "--skip-test-db"],
                check=True, capture_output=True,
            )  # fmt: skip
        data.mkdir(exist_ok=True)
        if os.getuid() == 0:
            # The joiner's rsync gives root up: it must own what it fills.
            shutil.chown(data, "nobody")
        listening = f"gmcast.listen_addr=tcp://127.0.0.1:{self.group};ist.recv_addr=127.0.0.1:{_free_port()}"
        command = [
            *(_SERVER, "--no-defaults", "--user=root", f"--datadir={data}", "--bind-address=127.0.0.1"),
            *(f"--port={self.port}", f"--socket={self.directory}/socket", f"--pid-file={self.directory}/pid"),
            *("--wsrep-on=ON", f"--wsrep-provider={PROVIDER}", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"),
            *("--wsrep-cluster-name=sv2m", f"--wsrep-node-name={self.directory.name}"),
            *("--wsrep-node-address=127.0.0.1", f"--wsrep-sst-receive-address=127.0.0.1:{_free_port()}"),
            *("--wsrep-sst-method=rsync", f"--wsrep-provider-options={listening};gcache.size=16M"),
            f"--wsrep-cluster-address=gcomm://{','.join(f'127.0.0.1:{one.group}' for one in others)}",
            *("--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--performance-schema=0"),
            "--skip-name-resolve",
        ]
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._await()

    def _await(self) -> None:
        ends = time.monotonic() + _PATIENCE
        ready = "SELECT variable_value FROM information_schema.global_status WHERE variable_name='wsrep_ready'"
        while self.sql(ready).strip() != "ON":
            assert self.process is not None
            assert self.process.poll() is None, (self.directory / "log").read_text()[-3000:]
            assert time.monotonic() < ends, (self.directory / "log").read_text()[-3000:]
            time.sleep(0.5)

    def sql(self, statement: str) -> str:
        """What the server answers, or nothing while it does not."""
        asked = ["mariadb", "--no-defaults", "-uroot", f"--socket={self.directory}/socket", "-N", "-e", statement]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
