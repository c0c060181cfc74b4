# SPDX-License-Identifier: Apache-2.0
"""What both sides have kept of a real migration, with a real authority's timestamps, checked in every way there is."""

from __future__ import annotations

import json
from pathlib import Path

from lab import evidence
from lab.guests import until
from lab.services import sv2m
from tests.cloud.world import Side, World

STAMPED = ("07-Transfer", "08-Prepared", "09-Release", "10-Receipt", "11-Closure")


def _manage(side: Side, *command: str) -> tuple[int, str]:
    config = str(sv2m.config(side.session.cloud))
    done = side.session.run(["sv2m-manage", "--config-file", config, *command], check=False)
    return done.returncode, done.stdout + done.stderr


def _stamped(side: Side, migration: str, folder: Path) -> bool | None:
    """Save the evidence; True once every timestamp is in it, the one of the audit log's end as well."""
    evidence.save(side.session, migration, folder)
    last = [line for file in sorted((folder / "audit").glob("*.jsonl")) for line in file.read_text().splitlines()][-1]
    wanted = [*STAMPED, f"audit-{json.loads(last)['number']}"]
    return True if all((folder / "timestamps" / f"{one}.tsr").exists() for one in wanted) else None


def test_both_sides_hold_stamped_evidence_that_convicts_nobody(world: World, tmp_path: Path) -> None:
    server = world.a.manager.boot("stamped", volume_type=None)
    migration, _ = world.migrate(world.a, server)
    folders = []
    for side in (world.a, world.b):
        folder = tmp_path / side.name
        until(lambda side=side, folder=folder: _stamped(side, migration["id"], folder), "every timestamp")
        folders.append(folder)
        # By hand, as the folder's own text says.
        commands = evidence.told(folder)
        assert sum("openssl ts -verify" in one for one in commands) >= len(STAMPED) + 1
        assert evidence.failing(folder, commands) == []
        status, said = _manage(side, "audit", "verify")
        assert status == 0, said
        status, said = _manage(side, "evidence", "status")
        assert "authority" not in said, said

    # By the command, offline, both sides together and with nothing but the root.
    root = str(world.a.session.cloud.lab.ttp.directory / "ca.pem")
    verify = ["openstack", "secure", "migration", "evidence", "verify", *map(str, folders), "--ca", root, "-f", "json"]
    done = world.a.session.run(verify, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {(row["Of"], row["Result"], row["What"]) for row in json.loads(done.stdout)}
    assert (world.b.name, "proved", "Receipt") in results
    assert (world.a.name, "proved", "Closure") in results
    assert not {row for row in results if row[1] in ("BAD", "OWES", "CONVICTED")}

    # Stamped again as a whole, and still good.
    status, said = _manage(world.b, "evidence", "retimestamp")
    assert status == 0, said
    again = tmp_path / "again"
    evidence.save(world.b.session, migration["id"], again)
    assert list((again / "timestamps").glob("archive-1.*"))
    done = world.b.session.run([*verify[:5], str(again), "--ca", root], check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    # A changed byte is found.
    release = folders[0] / "messages" / "09-Release.xml"
    release.write_bytes(release.read_bytes().replace(migration["id"].encode(), b"0" * 36))
    assert world.a.session.run([*verify[:5], str(folders[0]), "--ca", root], check=False).returncode == 1
