# SPDX-License-Identifier: Apache-2.0
"""A migration between two real clouds: its keys are nowhere but in their Barbicans and, for a while, in memory."""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from lab import evidence, namespace
from lab.cloud import PORTS
from lab.guests import until
from lab.rest import ApiError, Client
from lab.services import sv2m
from tests.canary.capture import Capture
from tests.canary.search import Place, Search, files, networked
from tests.canary.watch import Watch
from tests.cloud.payload import key_of_volume, payload, read_as, readers_of_key
from tests.cloud.world import Side, World
from tests.faults.hold import Hold, arm
from tests.faults.matrix import LEAVING

_SERVICES = ("sv2m-engine", "sv2m-agent", "sv2m-gateway", "sv2m-api")
#: libvirt's own store of what Nova gave it: where a compute host's keys are, with or without SV2M.
_LIBVIRTS_OWN = ("/libvirt/etc/secrets/", "/libvirt/run/secrets/")
#: What is by its nature a guest's: its local disk and the image below it, plain, and its volume, encrypted under the
#: key. Each is named as Nova and Cinder name it; whatever else lies beside it is searched.
_DISKS = re.compile(
    r"/(instances/[0-9a-f-]{36}/disk|instances/_base/[0-9a-f]{40}|(mnt/[0-9a-f]{32}|share)/volume-[0-9a-f-]{36})$"
)
#: Bytes of the largest file that is searched; everything else that a cloud writes is smaller.
_LARGEST = 256 << 20


@pytest.fixture
def talkative(world: World) -> Iterator[World]:
    """SV2M's programs log everything they can."""
    files = [path for side in (world.a, world.b) for path in sv2m.configs(side.session.cloud)]
    before = {path: path.read_text() for path in files}
    for path, text in before.items():
        path.write_text(re.sub(r"(?m)^\[DEFAULT\]$", "[DEFAULT]\ndebug = true", text, count=1))
    for side in (world.a, world.b):
        _restart(side)
    yield world
    for path, text in before.items():
        path.write_text(text)
    for side in (world.a, world.b):
        _restart(side)


def _restart(side: Side) -> None:
    for service in _SERVICES:
        side.kill(service)
    for service in _SERVICES:
        side.start(service)


def _keys(side: Side, migration: str) -> dict[str, bytes]:
    """What SV2M keeps in its own project's Barbican just now: this migration's keys, and those that sign."""
    found = {}
    with side.session.in_network():
        service = Client(side.session.cloud, "sv2m", "service")
        for secret in service.call("GET", "barbican", "/secrets?limit=100")["secrets"]:
            name = secret["name"] or ""
            if f"sv2m-{migration}-" in name or "evidence key" in name:
                # It may be deleted at this very moment.
                with contextlib.suppress(ApiError):
                    found[f"{name} at {side.name}"] = payload(side, service, secret["secret_ref"])
    return found


def _eik(side: Side, server: str) -> bytes:
    """The key of a server's volume, as its owner reads it."""
    return read_as(side, side.manager, key_of_volume(side, server))


def _network(side: Side) -> str:
    return str(Path(f"/proc/{namespace.anchor(side.session.cloud).pid}/ns/net").readlink())


def _moments(world: World, begin: float) -> list[Place]:
    """What may be there for a moment: arguments and environments, and small files that were written since then."""
    found: list[Place] = []
    for side in (world.a, world.b):
        found += networked(_network(side))
        found += files(side.session.cloud.directory / "sv2m", largest=1 << 20)
    for directory in ("/tmp", "/dev/shm"):
        found += files(Path(directory), since=begin, largest=1 << 16)
    return found


def _kept(side: Side) -> Iterator[Place]:
    """Logs, databases as they lie on the disk, the broker's files, everything else that a cloud writes."""
    cloud = side.session.cloud
    written = files(cloud.directory, largest=_LARGEST, leave_out=_LIBVIRTS_OWN)
    yield from ((where, content) for where, content in written if not _DISKS.search(where))
    yield from files(Path(f"/proc/{namespace.anchor(cloud).pid}/root/run"), largest=1 << 20, leave_out=_LIBVIRTS_OWN)


def _too_large(side: Side) -> list[str]:
    """Files that are not searched because of their size, and are no disks."""
    sizes = {}
    for path in side.session.cloud.directory.rglob("*"):
        # Others come and go.
        with contextlib.suppress(OSError):
            sizes[str(path)] = path.lstat().st_size
    return [where for where, size in sizes.items() if size > _LARGEST and not _DISKS.search(where)]


def test_no_key_is_anywhere(talkative: World, tmp_path: Path) -> None:
    world = talkative
    server = world.a.manager.boot("canary")
    world.a.manager.wait_for_count(server, 10)
    secrets = {"EIK at A": _eik(world.a, server)}
    begin = time.time() - 1
    with contextlib.ExitStack() as listening:
        # Plain are, inside a cloud, the broker (RPC and notifications) and the database; between them, all there is.
        inside = (PORTS["rabbitmq"], PORTS["mariadb"])
        captures = [
            listening.enter_context(Capture(device, tmp_path / f"{side.name}-{device}", network, ports))
            for side in (world.a, world.b)
            for device, ports, network in (
                ("lo", inside, side.session.in_network()),
                ("peer0", (), side.session.in_network()),
            )
        ]
        watch = listening.enter_context(Watch(lambda: _moments(world, begin), 0.2))
        # ekB's private half is gone as soon as the keys are unwrapped: B is held where the Envelope has just come.
        enveloped = Hold(world.b, "destination", "accepted", LEAVING, "canary", "canary")
        enveloped.take()
        arm(world.b, [enveloped])
        try:
            migration = world.request(world.a, server)
            assert readers_of_key(world.a, server) == []
            until(lambda: enveloped.waiting() or None, "the Envelope has come to B", pause=0.05)
            secrets.update(_keys(world.b, migration))
        finally:
            enveloped.let_go()
            arm(world.b, [])
        for phases in (("transferring",), ("transferred", "prepared", "released", "receipted", "closing", "closed")):
            world.reaches(world.a, migration, *phases)
            for side in (world.a, world.b):
                secrets.update(_keys(side, migration))
        assert world.finished(world.a, migration)["status"] == "completed"
        landed = world.finished(world.b, migration)["server_id"]
    secrets["EIK at B"] = _eik(world.b, landed)
    _are_what_they_should_be(secrets, migration, world)
    public = _ekb(secrets).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # QEMU's passphrase is a key in hexadecimal; that form is searched for as well.
    passphrases = {f"{name} in hex": key.hex().encode() for name, key in secrets.items() if len(key) == 32}
    search = Search({**secrets, **passphrases})

    said = [place for capture in captures for place in capture.places()]
    heard = b"".join(content for where, content in said if where.startswith("lo:"))
    assert b"sv2m-km" in heard and b"secure_migration.audit" in heard, "RPC and notifications were listened to"
    assert sum(len(content) for where, content in said if where.startswith("peer0:")) > 64 << 20
    commands = b"\n".join(content for _, content in watch.seen)
    assert b"qemu-nbd" in commands, "the watch saw the programs that get keys"
    assert search.within(said) == []
    assert search.within(watch.seen) == []
    for side in (world.a, world.b):
        log = (side.session.cloud.log / "sv2m-engine.log").read_text()
        assert " DEBUG " in log and migration in log
        assert search.within(_kept(side)) == []
        assert _too_large(side) == []
        evidence.save(side.session, migration, tmp_path / "evidence" / side.name)
    assert search.within(files(tmp_path / "evidence")) == []
    (answer,) = (tmp_path / "evidence" / world.a.name).rglob("*-TokenBA2.xml")
    assert base64.b64encode(public) in b"".join(answer.read_bytes().split()), "it is the ekB that A wrapped to"


def _ekb(secrets: dict[str, bytes]) -> rsa.RSAPrivateKey:
    """B's private half, of the only ekB among the secrets; it is searched for by its private numbers too."""
    (found,) = [content for name, content in secrets.items() if re.fullmatch(r"sv2m-[0-9a-f-]{36}-ekB at .+", name)]
    key = load_pem_private_key(found, None)
    assert isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 3072
    return key


def _are_what_they_should_be(secrets: dict[str, bytes], migration: str, world: World) -> None:
    """Otherwise the search would be for something else."""
    vmk = {key for name, key in secrets.items() if name.startswith(f"sv2m-{migration}-VMK")}
    assert len(vmk) == 1 and len(*vmk) == 32, "A's VMK and B's are the same"
    assert secrets["EIK at A"] == secrets["EIK at B"]
    private = [key for name, key in secrets.items() if "evidence key" in name]
    assert len(private) >= 2 and all(key.startswith(b"-----BEGIN PRIVATE KEY-----") for key in private)
