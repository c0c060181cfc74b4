# SPDX-License-Identifier: Apache-2.0
"""Silent weakening: nothing that is set, left out, answered or missing leads to an unsealed or unsigned transfer.

OSSN-0089, CVE-2017-1000256 and CVE-2025-64434 are what that looks like elsewhere.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

import sv2m.conf
from sv2m import errors
from sv2m import protocol as p
from sv2m.api.schemas import migrations as schemas
from sv2m.db import certificates, peers
from sv2m.db import engine as database
from sv2m.db.models import Certificate
from sv2m.gateway.client import PeerClient
from sv2m.protocol import messages
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB
from tests.attacks.federation import A, B
from tests.protocol import clouds

ROOT = Path(sv2m.conf.__file__).parents[1]
SWITCH = re.compile(
    r"insecure|plain|disable|skip|unsafe|allow|unsigned|unsealed|encrypt|seal|sign|verify|check|tls|ssl|cipher|algorithm"
    r"|force|debug|trust|strict|fallback|compat|legacy|mode"
)
#: Modules by which settings could come in.
OUTSIDE = {"os", "sys", "pathlib", "io", "socket", "subprocess", "configparser", "tempfile", "oslo_config"}


def test_no_option_is_a_switch() -> None:
    """Of SV2M's own options none is a yes or no, and none is called like something that could be switched off."""
    conf = cfg.ConfigOpts()
    sv2m.conf.register(conf)
    # oslo.db, oslo.messaging and keystoneauth bring options of their own; [service_credentials] is Keystone's client.
    ours = [
        (group, opt)
        for group, opts in sv2m.conf.list_opts()
        for opt in opts
        if group not in ("database", "service_credentials")
    ]
    assert len(ours) > 40
    assert [opt.name for _, opt in ours if isinstance(opt, cfg.BoolOpt)] == []
    assert {opt.name for _, opt in ours if SWITCH.search(opt.name)} == set()


def test_the_protocol_reads_no_configuration_environment_or_file() -> None:
    for path in (ROOT / "protocol").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {getattr(node, "module", None) or "", *(one.name for one in node.names)}
                assert not {name.split(".")[0] for name in names} & OUTSIDE, (path.name, names)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("open", "eval", "exec", "input"), path.name


def test_a_caller_says_what_moves_and_whither_and_nothing_else() -> None:
    wanted = schemas.CREATE["properties"]["migration"]  # type: ignore[index]
    assert set(wanted["properties"]) == {"id", "server_id", "destination"}
    assert wanted["additionalProperties"] is False


def test_there_is_one_mode_one_version_and_no_optional_field() -> None:
    assert messages.MODES == ("paused",)
    for kind in p.KINDS.values():
        required = [field for field in kind.__dataclass_fields__.values() if field.default is field.default_factory]
        assert len(required) == len(kind.__dataclass_fields__)
    newer = p.encode(clouds.offer(clouds.certificates.identity(A), B)).replace(b'Version="1"', b'Version="2"')
    with pytest.raises(errors.MalformedMessage):
        p.peek(newer)


def test_an_unencrypted_server_travels_sealed_like_any_other(b: CloudB) -> None:
    disk = {**clouds.NEEDS["disks"][0], "encrypted": False, "cipher": "", "key_size": 0}  # type: ignore[index]
    b.source = b.sender(needs={"disks": [disk]})
    b.source.run("Envelope")
    (job,) = b.agent.jobs
    assert b.keys.read(job["vmk_ref"]) == clouds.VMK
    assert job["disks"][0]["eik_ref"] is None


def test_an_envelope_without_a_vmk_cannot_be_written() -> None:
    pair = clouds.Pair().run("wrap")
    envelope = pair.a.machine.message(p.Envelope)
    fields = {name: getattr(envelope, name) for name in envelope.__dataclass_fields__}
    for keys in ((), envelope.keys[1:]):
        with pytest.raises(errors.LocalError):
            p.Envelope(**{**fields, "keys": keys})


def test_without_a_certificate_a_offers_nothing(a: CloudA) -> None:
    with database.session() as session:
        session.query(Certificate).delete()
    row = a.run()
    assert (row.phase, row.error_code) == ("withdrawn", "not-configured")
    assert "peers.send" not in a.recorder.calls
    assert a.runs_here


def test_without_a_certificate_b_takes_nothing(b: CloudB) -> None:
    with database.session() as session:
        session.query(Certificate).delete()
        assert certificates.active(session) is None
    assert b.refusal(b.source.make("Offer")).code == "not-configured"
    assert b.rows == 0


@pytest.mark.parametrize("ca_pem", ["", "not a certificate"])
def test_an_agreement_without_a_ca_believes_nobody(a: CloudA, ca_pem: str) -> None:
    with database.session() as session:
        (row,) = peers.list_page(session, limit=2)
        peers.update(session, row.id, ca_pem=ca_pem)
    assert a.run().phase == "withdrawn"
    assert a.runs_here
    assert a.nova.paused == 0


@pytest.mark.parametrize("url", ["http://b:1", "https", "HTTP://b:1", "file:///b", ""])
def test_no_agreement_leads_to_a_connection_without_tls(url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="not https"):
        PeerClient(1).send(url, "", b"<x/>")


def test_a_gateway_without_a_tls_certificate_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "sv2m.conf").write_text(f"[DEFAULT]\ncloud_name = {B}\n[gateway]\nlisten_address = 127.0.0.1\n")
    command = [sys.executable, "-m", "sv2m.cmd.gateway", "--config-file", str(tmp_path / "sv2m.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "gateway.certificate_file" in done.stdout + done.stderr
