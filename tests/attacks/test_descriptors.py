# SPDX-License-Identifier: Apache-2.0
"""A hostile peer describes a server that would be more than a server: what B takes of a descriptor, and what never."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from xml.sax.saxutils import escape

import pytest
import sqlalchemy as sa
from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import audit, messages, migrations, timestamps
from sv2m.db import engine as database
from sv2m.edm import spec
from tests.attacks.cloud_b import PROJECT, CloudB
from tests.attacks.federation import C, identity
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.protocol.test_signature_attacks import _pem, _signer, canonical, one_line
from tests.unit.engine.arriving import HOST
from tests.unit.engine.sender import Sender

DISK = clouds.NEEDS["disks"][0]  # type: ignore[index]
NIC = clouds.NEEDS["nics"][0]  # type: ignore[index]


def signed(document: bytes, by: Identity) -> bytes:
    """Sign whatever it is; our own code would refuse to."""
    root = etree.fromstring(document)
    return one_line(canonical(_signer().sign(root, key=by.key, cert=[_pem(by.leaf)])))


#: An element of the offer, and what a hostile A writes into it.
WORDS = [
    ("Machine", "../../../../etc/passwd"),
    ("Machine", "/dev/sda"),
    ("Machine", "pc,dumpdtb=/tmp/x y"),
    ("Target", "../../vda"),
    ("Target", "/dev/vda"),
    ("Bus", "virtio/../usb"),
    ("Architecture", "x86_64;reboot"),
    ("Model", "qemu64 -drive file=/etc/shadow"),
    ("Cipher", "aes-xts-plain64 && id"),
    ("VirtType", "lxc"),
    ("Firmware", "/usr/share/qemu/evil.fd"),
    ("Mac", "01:00:5e:00:00:01"),
    ("Mac", "$(id)"),
    ("Mode", "plain"),
    ("Mode", "live"),
    ("Name", ""),
    ("Name", "x" * 256),
    ("Vm", "../../../instances/other"),
    # Numbers rightly written, and outside of what any server has.
    ("Vcpus", "0"),
    ("Vcpus", "4097"),
    ("MemoryMb", "0"),
    ("MemoryMb", str((1 << 26) + 1)),
    ("Size", "0"),
    ("Size", str(1 << 62)),
    ("VolumeGb", str(1 << 40)),
    ("KeySize", "4097"),
    ("Mtu", "67"),
    ("Mtu", "65536"),
]
NUMBERS = ("Vcpus", "MemoryMb", "RootGb", "EphemeralGb", "SwapMb", "Size", "VolumeGb", "KeySize", "Mtu")
ODD_NUMBERS = ("-1", "1" + "0" * 30, "1e9", "0x10", "1.5", "NaN", "", " 1", "+1", "٣")
EXTRA = [
    b"<sv2m:Hostdev>0000:00:02.0</sv2m:Hostdev>",
    b"<sv2m:Source>/etc/shadow</sv2m:Source>",
    b"<sv2m:BackingFile>/etc/shadow</sv2m:BackingFile>",
    b"<sv2m:DataFile>json:{}</sv2m:DataFile>",
    b"<sv2m:Commandline>-device vfio-pci</sv2m:Commandline>",
]


def test_what_no_descriptor_may_hold_is_refused_at_the_door(b: CloudB) -> None:
    me = b.source.side.identity
    good = p.encode(b.source.offer)
    tried = 0
    cases = [(tag, value) for tag in NUMBERS for value in ODD_NUMBERS] + WORDS
    for tag, value in cases:
        written = rf"\g<1>{escape(value)}\g<2>"
        evil, changed = re.subn(rf"(<sv2m:{tag}>)[^<]*(</sv2m:{tag}>)", written, good.decode(), count=1)
        assert changed == 1, tag
        assert isinstance(b.refusal(signed(evil.encode(), me)), errors.MalformedMessage), (tag, value)
        tried += 1
    for extra in EXTRA:
        for place in (b"</sv2m:Disk>", b"</sv2m:Needs>", b"</sv2m:Nic>", b"</sv2m:Offer>"):
            if place in good:
                evil_bytes = good.replace(place, extra + place, 1)
                assert isinstance(b.refusal(signed(evil_bytes, me)), errors.MalformedMessage), (extra, place)
                tried += 1
    assert tried > 100
    assert b.rows == 0
    assert b.untouched
    # What was refused was refused for what stood in it, not for how it was signed.
    assert b.post(signed(good, me))


def test_the_descriptor_twice(b: CloudB) -> None:
    good = p.encode(b.source.offer)
    needs = re.search(rb"<sv2m:Needs>.*</sv2m:Needs>", good)
    assert needs
    doubled = good.replace(needs[0], needs[0] * 2)
    assert isinstance(b.refusal(signed(doubled, b.source.side.identity)), errors.MalformedMessage)


#: Well-formed, and yet more than B agreed to, or than it can be asked.
GREEDY: dict[str, dict[str, Any]] = {
    "memory": {"memory_mb": 1 << 20},
    "vcpus": {"vcpus": 4096},
    "volume": {"disks": [{**DISK, "volume_gb": 1 << 14}]},
    "local disk": {"disks": [{**DISK, "volume_gb": 0, "encrypted": False, "cipher": "", "key_size": 0}], "root_gb": 99},
    "ephemeral": {"ephemeral_gb": 1 << 14},
    "swap": {"swap_mb": 1 << 20},
    "two disks": {"disks": [DISK, {**DISK, "index": 1, "target": "vdb", "volume_gb": 0}]},
    "an encrypted disk that is no volume": {"disks": [{**DISK, "volume_gb": 0}], "root_gb": 1},
}


@pytest.mark.parametrize("what", GREEDY)
def test_more_than_was_agreed_is_refused_before_anything_is_made(b: CloudB, what: str) -> None:
    b.source = b.sender(needs=GREEDY[what])
    b.source.run("TokenAB")
    decision = b.source.side.machine.message(p.TokenBA2).decision
    assert isinstance(decision, p.Refused)
    assert b.row.status == "refused"
    assert b.untouched


def test_many_offers_at_once_do_not_get_around_the_agreement(b: CloudB) -> None:
    b.change_agreement("cloud-a.sv2m", limits={"migrations": 2})
    senders = [b.sender().run("Offer") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda sender: sender.run("TokenAB"), senders))
    decisions = [type(sender.side.machine.message(p.TokenBA2).decision) for sender in senders]
    assert decisions.count(p.Accepted) == 2
    assert len(b.lmm.held) == 2


def test_places_are_given_to_one_after_the_other(b: CloudB) -> None:
    """SQLite does so by itself. MariaDB does where the agreement's row is written before anything is read.

    Galera, too: a row that is only locked is no conflict with what another node does.
    """
    begun: dict[int, list[str]] = {}
    giving: list[list[str]] = []

    @sa.event.listens_for(database.current(), "before_cursor_execute")
    def _(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        so_far = begun.setdefault(id(connection), [])
        so_far.append(statement)
        if statement.startswith(("INSERT INTO migrations", "INSERT INTO ledger")):
            giving.append([one for one in so_far if not one.startswith("BEGIN")])

    @sa.event.listens_for(database.current(), "commit")
    def _(connection: sa.Connection) -> None:
        begun.pop(id(connection), None)

    b.source.run("TokenAB")
    assert len(giving) == 2
    assert all(one[0].startswith("UPDATE peers SET holds=") for one in giving), giving


def offered(b: CloudB, sender: Sender) -> bool:
    """Whether B answers the offer."""
    try:
        sender.run("Offer")
    except errors.TooManyOffers:
        return False
    return True


def forgotten(b: CloudB, sender: Sender) -> bool:
    """Whether B's database has nothing of a migration any more."""
    with database.session() as session:
        rows = [migrations.find(session, sender.id), *audit.list_for(session, sender.id)]
        kept = [*messages.list_for(session, sender.id), *timestamps.list_for(session, sender.id)]
        chains = [one for one in audit.subjects(session) if one.subject == sender.id]
    return not any([*rows, *kept, *chains])


def test_a_flood_of_offers_that_nobody_stands_by(b: CloudB) -> None:
    """A peer signs offers without end, all at once, and answers no challenge. Another peer does not notice."""
    b.services.conf.set_override("unanswered_offers", 3, "engine")
    senders = [b.sender() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        taken = list(pool.map(lambda sender: offered(b, sender), senders))
    assert (taken.count(True), b.rows) == (3, 3)
    assert b.refusal(b.source.make("Offer")).code == "too-many-offers"
    other = b.sender(me=identity(C)).run("TokenAB")
    assert other.accepted
    # The same offer again is the same question, also now; and whoever stands by his makes way for the next one.
    first, second, third = (sender for sender, there in zip(senders, taken, strict=True) if there)
    first.deliver(first.side.document("Offer"))
    first.run("TokenAB")
    assert offered(b, b.source)
    b.look(later=timedelta(minutes=1))
    assert b.row.error_code == "source-silent"
    for sender in (second, third):
        assert b.workers is not None
        b.workers.work_on(sender.id).result(60)
    assert offered(b, b.sender())
    b.tidy(later=timedelta(hours=1))
    assert all(forgotten(b, sender) for sender in (second, third, b.source))
    assert not forgotten(b, first)


def test_an_offer_that_was_forgotten_is_challenged_afresh(b: CloudB) -> None:
    """Whoever recorded it and posts it again has nothing of it: the answer of then does not fit."""
    b.source.run("Offer")
    b.source.make("TokenAB")
    b.look(later=timedelta(minutes=1))
    b.tidy(later=timedelta(hours=1))
    assert forgotten(b, b.source)
    token = b.post(b.source.side.document("Offer"))
    assert token is not None and token != b.source.documents["TokenBA1"]
    assert b.refusal(b.source.side.document("TokenAB")).code == "replayed-message"


def test_what_an_operator_has_aborted_is_not_forgotten(b: CloudB) -> None:
    b.source.run("Offer")
    with database.session() as session:
        migrations.request_abort(session, b.source.id, by={"user_id": "operator"})
    assert b.look().status == "aborted"
    assert b.tidy(later=timedelta(hours=1)).tidy_at is None
    assert not forgotten(b, b.source)


@pytest.mark.parametrize("cipher", ["aes-cbc-essiv:sha256", "null-ecb-plain", "aes-ecb-plain"])
def test_a_weaker_disk_encryption_is_refused_at_the_offer(b: CloudB, cipher: str) -> None:
    b.source = b.sender(needs={"disks": [{**DISK, "cipher": cipher}]})
    b.source.run("TokenAB")
    decision = b.source.side.machine.message(p.TokenBA2).decision
    assert isinstance(decision, p.Refused) and decision.code == "server-not-movable"
    b.carry_on()
    assert b.untouched


def test_what_b_asks_of_its_own_nova_is_its_own(b: CloudB) -> None:
    """Of the descriptor only the name reaches Nova; the rest is B's flavor, B's host, B's project, B's volume."""
    b.source.run("Envelope")
    (server,) = b.nova.servers.values()
    (port,) = b.neutron.ports[b.source.id]
    (volume,) = b.storage.volumes.values()
    assert server["asked"] == {
        "project_id": PROJECT,
        "name": clouds.NEEDS["name"],
        "flavor_id": "flavor",
        "host": HOST,
        "volume_ids": [volume.id],
        "image_id": None,
        "port_ids": [port["id"]],
        "migration_id": b.source.id,
    }
    own = {"id": port["id"], "project": PROJECT, "network": "landing", "mac": NIC["mac"]}
    assert port == {**own, "group": f"empty-{b.source.id}", "up": False}


def test_a_job_for_the_agent_names_no_path_and_no_device_of_a(b: CloudB) -> None:
    b.source.run("Envelope")
    (job,) = b.agent.jobs
    read = spec.destination(job)
    assert set(job) == {"server_id", "sid_b64", "vmk_ref", "needs", "streams", "disks", "lifetime"}
    assert job["needs"] == b.source.offer.needs.to_dict()
    assert not [text for text in _texts(job["needs"]) if "/" in text and text != clouds.NEEDS["name"]]
    assert 0 < read.lifetime <= timedelta(hours=1).total_seconds()


@pytest.mark.parametrize(
    "streams",
    [
        (p.StreamPlan(1, "memory", 0, 4 << 20),),
        (*clouds.PLAN, p.StreamPlan(3, "disk", 1, 4 << 20)),
        (p.StreamPlan(1, "memory", 0, 4 << 20), p.StreamPlan(2, "disk", 7, 4 << 20)),
        tuple(p.StreamPlan(plan.id, plan.kind, plan.index, 64 << 20) for plan in clouds.PLAN),
        (clouds.PLAN[0], p.StreamPlan(2, "disk", 0, 8 << 20)),
    ],
    ids=["no disk", "one disk more", "another disk", "the largest segments", "one stream of larger segments"],
)
def test_a_plan_that_is_not_the_offers(b: CloudB, streams: tuple[p.StreamPlan, ...]) -> None:
    b.source.run("TokenAB")
    machine = b.source.side.machine
    envelope = p.decode(b.source.make("Envelope"))
    assert isinstance(envelope, p.Envelope)
    fields = {name: getattr(envelope, name) for name in envelope.__dataclass_fields__}
    lie = b.source.side.sign(p.Envelope(**{**fields, "streams": streams}))
    assert isinstance(b.refusal(lie.document), errors.IntegrityError)
    assert machine.phase == "accepted" or b.phase == "accepted"


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []
