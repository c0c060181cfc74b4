# SPDX-License-Identifier: Apache-2.0
"""`make demo`: a server with an encrypted disk moves from cloud A to cloud B while you watch, and counts on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from lab import evidence
from lab.cloud import Lab
from lab.guests import Count, Guests, until
from lab.progress import Progress
from lab.rest import ApiError, Client
from lab.session import CloudSession, LabSession
from lab.up import up

NAME = "counter"
PHASES = {
    "requested": "A checks the operator's right, the server and the agreement with B",
    "offered": "A has signed the offer; the clouds authenticate each other (ISO 9798-3, three passes)",
    "authenticated": "B checks its agreement with A and holds room for the server",
    "accepted": "B has accepted, signed; A's Barbican makes the VMK, A wraps it and the disk's EIK to B's fresh key",
    "enveloped": "B unwraps the keys into its Barbican and makes volume and placeholder; nothing has moved yet",
    "transferring": "disk and memory travel, sealed; A's server is locked, and paused for the last round",
    "transferred": "A has signed the manifest of every segment; B verifies all and restores the server, paused",
    "prepared": "B has signed that it holds the server; A makes the commit durable",
    "released": "A has given up its right to run the server; B resumes it",
    "receipted": "B has signed the receipt; A deletes server, volume and keys",
    "closing": "A tells B, signed, that nothing is left here",
    "closed": "over",
}


@dataclass
class Row:
    """A line of the closing table."""

    what: str
    result: str
    good: bool


def run(lab: Lab) -> int:
    """Run the demonstration; 0 when every line of the closing table is good."""
    progress = Progress()
    progress.say("starting two OpenStack clouds (on a fresh machine: about three minutes)")
    up(lab, progress)
    session = LabSession.load(lab.directory)
    a, b = session.cloud("a"), session.cloud("b")
    manager_a, manager_b = Guests(a, "mona", "research"), Guests(b, "mona", "research")
    rows = _migrate(progress, manager_a, manager_b)
    print()
    print(_table(rows))
    print(_goodbye(lab))
    return 0 if all(row.good for row in rows) else 1


def _migrate(progress: Progress, manager_a: Guests, manager_b: Guests) -> list[Row]:
    a, b = manager_a.session, manager_b.session
    progress.say(f"cloud A: booting '{NAME}' from an encrypted volume (TCG: no hardware virtualisation is needed)")
    server = manager_a.boot(NAME)
    progress.say(f"cloud A: server {server} counts: {_say(manager_a.counted(server))}")
    manager_a.wait_for_count(server, 20)
    volume = _volume(manager_a, server)
    eik = _eik(a, volume)
    progress.say(f"cloud A: its volume {volume} is opened by EIK {eik.rsplit('/', 1)[-1]} in A's Barbican")
    begin = time.monotonic()
    migration = _create(progress, a, server, b.cloud.full_name)
    before: list[Count] = []
    shown = _follow(progress, manager_a, migration, server, before)
    total = time.monotonic() - begin
    if shown["status"] != "completed":
        raise SystemExit(f"the migration ended {shown['status']}: {shown['error']}")
    landed = _landed(b, migration)
    until(lambda: _closed(manager_b, migration), "A's signed word that nothing is left there reaches B")
    until(lambda: _closed(manager_a, migration), "A hears that B has it")
    progress.say(f"cloud B: it is server {landed} there")
    first = manager_b.begins_to_count(landed)
    manager_b.wait_for_count(landed, first.count + 10)
    return _check(progress, manager_a, manager_b, server, landed, migration, before[-1], first, shown, total, eik)


def _closed(guests: Guests, migration: str) -> bool:
    shown: dict[str, Any] = guests.call("GET", "sv2m-api", f"/migrations/{migration}")["migration"]
    return shown["phase"] == "closed"


def _create(progress: Progress, a: CloudSession, server: str, destination: str) -> str:
    command = ["openstack", "secure", "migration", "create", server, destination, "-f", "value", "-c", "id"]
    progress.say("$ " + " ".join(command[:6]))
    return a.run(command, user="mona").stdout.strip()


def _follow(
    progress: Progress, guests: Guests, migration: str, server: str, before: list[Count]
) -> dict[str, Any]:
    """Say each phase as it comes, and note how far the server has counted at A."""
    phase, said = "", time.monotonic()
    while True:
        shown: dict[str, Any] = guests.call("GET", "sv2m-api", f"/migrations/{migration}")["migration"]
        counted = guests.counted(server)
        if counted is not None:
            before.append(counted)
        if shown["phase"] != phase:
            phase, said = shown["phase"], time.monotonic()
            progress.say(f"  {phase}: {PHASES.get(phase, '')}")
        elif time.monotonic() - said > 3:
            said = time.monotonic()
            megabytes = shown["bytes_sent"] / 1e6
            progress.say(f"  {phase}: {megabytes:.0f} MB sent, {_say(counted)}")
        if shown["status"] != "running":
            return shown
        time.sleep(0.05)


def _check(
    progress: Progress,
    manager_a: Guests,
    manager_b: Guests,
    server: str,
    landed: str,
    migration: str,
    before: Count,
    first: Count,
    shown: dict[str, Any],
    total: float,
    eik: str,
) -> list[Row]:
    a, b = manager_a.session, manager_b.session
    now = manager_b.counted(landed)
    assert now is not None
    new_eik = _eik(b, _volume(manager_b, landed))
    rows = [
        Row("counter: last line at A, first at B", f"{before.count}, {first.count}", first.count > before.count),
        Row("boot id is the same", f"{first.boot}", first.boot == before.boot),
        Row("disk read at B is what was counted", f"{now.disk} = {now.count}", now.disk == now.count),
        Row("server gone from A", server, manager_a.show(server) is None),
        Row("server at B is ACTIVE", landed, (manager_b.show(landed) or {}).get("status") == "ACTIVE"),
        Row("EIK in B's Barbican", new_eik.rsplit("/", 1)[-1], _secret(b, new_eik)),
        Row("EIK gone from A's Barbican", eik.rsplit("/", 1)[-1], not _secret(a, eik)),
    ]
    for side in (a, b):
        ok, said = _evidence(side, migration)
        rows.append(Row(f"evidence at {side.cloud.full_name}, by xmlsec1 and openssl", said, ok))
    rows.append(Row("downtime", f"{shown['downtime_ms'] / 1000:.2f} s", True))
    rows.append(Row("total time of the migration", f"{total:.1f} s", True))
    return rows


def _evidence(side: CloudSession, migration: str) -> tuple[bool, str]:
    folder = side.cloud.directory / "evidence" / migration
    evidence.save(side, migration, folder)
    commands = evidence.told(folder, "xmlsec1") + evidence.told(folder, "openssl verify")
    bad = evidence.failing(folder, commands)
    return not bad and bool(commands), f"{len(commands) - len(bad)} of {len(commands)} signatures and chains good"


def _volume(guests: Guests, server: str) -> str:
    shown = guests.show(server)
    assert shown is not None
    found: str = shown["os-extended-volumes:volumes_attached"][0]["id"]
    return found


def _eik(session: CloudSession, volume: str) -> str:
    with session.in_network():
        shown = Client(session.cloud).call("GET", "cinder-api", f"/volumes/{volume}/encryption")
    found: str = shown["encryption_key_id"]
    return found


def _secret(session: CloudSession, identifier: str) -> bool:
    try:
        with session.in_network():
            own = Client(session.cloud, "mona", "research")
            own.call("GET", "barbican", f"/secrets/{identifier.rsplit('/', 1)[-1]}")
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _landed(b: CloudSession, migration: str) -> str:
    with b.in_network():
        found: str = Client(b.cloud).call("GET", "sv2m-api", f"/migrations/{migration}")["migration"]["server_id"]
    return found


def _say(counted: Count | None) -> str:
    return "nothing yet" if counted is None else f"boot {counted.boot[:8]} count {counted.count}"


def _table(rows: list[Row]) -> str:
    width = max(len(row.what) for row in rows)
    return "\n".join(f"  {'ok ' if row.good else 'BAD'}  {row.what:<{width}}  {row.result}" for row in rows)


def _goodbye(lab: Lab) -> str:
    return f"""
Both clouds are still running. Look around:
  make lab-status                                              every service, with its log
  .venv/bin/python -m lab exec b --as mona -- openstack server list
  .venv/bin/python -m lab exec b --as mona -- openstack secure migration list
  .venv/bin/python -m lab exec b -- bash                       a shell inside cloud B
  ls {lab.directory}/*/evidence/                    the evidence of both sides
and end them with
  make lab-down"""
