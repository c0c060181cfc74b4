# SPDX-License-Identifier: Apache-2.0
"""Years later: what an operator checks, stamps again, and may remove."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_config import cfg

import sv2m.conf
from lab.ttp.authority import Profile
from sv2m import errors
from sv2m.api import evidence
from sv2m.api import evidence_commands as commands
from sv2m.db import audit, engine, ledger, messages, migrations, timestamps
from sv2m.engine.authority import TimestampAuthority
from sv2m.engine.stamping import Stamper
from sv2m.evidence.verifier import verify
from tests.unit.evidence.clocks import AtAnotherTime
from tests.unit.evidence.court import STAMPED, Court, Judgement, kept, unpacked
from tests.unit.evidence.test_judge import replaced


@pytest.fixture
def conf(court: Court, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[cfg.ConfigOpts]:
    path = tmp_path / "db.sqlite"
    shutil.copy(court._empty, path)
    engine.use(sa.create_engine(f"sqlite:///{path}"))
    made = cfg.ConfigOpts()
    sv2m.conf.register(made)
    made([], default_config_files=[])
    made.set_override("cloud_name", "cloud-b.sv2m")
    made.set_override("tsa_url", "http://tsa.test/", "evidence")
    made.set_override("retention_days", 0, "evidence")
    monkeypatch.setattr(TimestampAuthority, "of", lambda conf: court.tsa)
    yield made
    engine.current().dispose()
    engine.use(None)


@pytest.fixture
def migration(court: Court, conf: cfg.ConfigOpts) -> str:
    migration_id = court.store(court.pair().run().b)
    Stamper(court.tsa, STAMPED, 1).look()
    return migration_id


def ended(days: int) -> None:
    with engine.session() as session:
        at = datetime.now(UTC) - timedelta(days=days)
        session.execute(sa.text("update migrations set finished_at = :at"), {"at": at.replace(tzinfo=None)})


def yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d")


def test_a_whole_log_is_verified(migration: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.verify(None) == 0
    assert "1 logs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("update audit_events set line = replace(line, ',', ', ') where number = 5", "form"),
        ("update audit_events set line = replace(line, 'sent', 'Sent') where number = 5", "changed|log tells"),
        ("delete from audit_events where number = 5", "missing"),
        ("delete from audit_events where number = (select max(number) from audit_events)", "end are missing"),
        ("delete from audit_events where number = 1", "beginning"),
        ("update migrations set phase = 'undone'", "its log says"),
        ("update message_parts set content = x'00' where message_id = 2", "not what the log tells"),
    ],
)
def test_a_changed_log_is_found(migration: str, capsys: pytest.CaptureFixture[str], tampering: str, said: str) -> None:
    with engine.session() as session:
        session.execute(sa.text(tampering))
    assert commands.verify(migration) == 1
    import re

    assert re.search(said, capsys.readouterr().out)


def test_a_log_that_is_not_there_is_said(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(errors.NotFound):
        commands.verify("nowhere")


def test_everything_is_stamped_again_with_what_was_stamped_before(
    court: Court, conf: cfg.ConfigOpts, migration: str
) -> None:
    assert commands.retimestamp(conf, None) == 0
    later = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d")
    assert commands.retimestamp(conf, later) == 0
    folder = unpacked(evidence.archive(kept(migration, "cloud-b.sv2m")), "b")
    listing = folder.files["timestamps/archive-2.sha512"].decode()
    for name in ("messages/09-Release.xml", "timestamps/09-Release.tsr", "timestamps/archive-1.tsr", "audit/"):
        assert f" *{name}" in listing
    case = verify(folder, court.roots)
    assert case.report.bad == []
    assert commands.verify(None) == 0


def test_evidence_that_is_stamped_after_the_certificates_end_loses_nothing(
    court: Court, conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An authority was named years too late, and stamped first the messages and then everything."""
    migration = court.store(court.pair().run().b)
    late = AtAnotherTime(court.authority, timedelta(days=100))
    then = datetime.now(UTC) + timedelta(days=100)

    def heard() -> Judgement:
        folder = unpacked(evidence.archive(kept(migration, "cloud-b.sv2m")), "b")
        return Judgement([verify(folder, court.roots, now=then)])

    before = heard()
    Stamper(late, STAMPED, 1).look()
    monkeypatch.setattr(TimestampAuthority, "of", lambda conf: late)
    assert commands.retimestamp(conf, "2099-01-01") == 0
    assert "1 stamped, 0 failed" in capsys.readouterr().out
    after = heard()
    assert (before.off, after.off) == ([], [])
    assert ("cloud-b.sv2m", "runs") in after.proved
    assert after.proved == before.proved
    (case,) = after.cases
    assert not case.times, "what was shown only after the end could be of a thief"
    notes = [one for one in case.report.findings if "as the folder says" in one.text]
    assert {"certificates/source.pem", "certificates/destination.pem"} == {one.subject for one in notes}


def test_a_folder_that_does_not_say_when_is_off(court: Court) -> None:
    """Nor is its word heard where it is later than what is proved."""
    late = court.keeps(court.pair().run().b, by=AtAnotherTime(court.authority, timedelta(days=100)))
    said = json.loads(late.files["summary.json"])
    for at in (None, "2000-01-01T00:00:00", "2099-01-01T00:00:00"):
        documents = [{**one, "at": at} for one in said["documents"] if at is not None]
        lie = json.dumps({**said, "documents": documents}).encode()
        off = [one.subject for one in verify(replaced(late, {"summary.json": lie}), court.roots).report.bad]
        assert "certificates/source.pem" in off, at


def test_a_timestamp_that_would_make_evidence_worse_is_not_written(
    court: Court, conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The authority's clock is behind, so that the certificates seem not to be valid yet."""
    # They begin in three minutes, which is tolerated; in six it is not.
    a, b = (court.enrol(name, Profile(first_day=8 / 1440)) for name in ("cloud-a.sv2m", "cloud-b.sv2m"))
    migration = court.store(court.pair(a=a, b=b).run().b)
    behind = AtAnotherTime(court.authority, timedelta(minutes=-3))
    monkeypatch.setattr(TimestampAuthority, "of", lambda conf: behind)
    saved = evidence.archive(kept(migration, "cloud-b.sv2m"))
    assert verify(unpacked(saved, "b"), court.roots).report.good
    assert commands.retimestamp(conf, None) == 1
    assert "begins on" in capsys.readouterr().out
    assert evidence.archive(kept(migration, "cloud-b.sv2m")) == saved, "nothing is written"


def test_what_is_stamped_lately_is_not_stamped_again(conf: cfg.ConfigOpts, migration: str) -> None:
    assert commands.retimestamp(conf, yesterday()) == 0
    with engine.session() as session:
        assert not [one for one in timestamps.list_for(session, migration) if one.listing]


def test_evidence_that_is_off_is_not_made_to_look_better(conf: cfg.ConfigOpts, migration: str) -> None:
    with engine.session() as session:
        session.execute(sa.text("delete from audit_events where number = 5"))
    assert commands.retimestamp(conf, None) == 1
    with engine.session() as session:
        assert not [one for one in timestamps.list_for(session, migration) if one.listing]


def test_what_has_no_timestamp_is_shown(conf: cfg.ConfigOpts, court: Court, capsys: pytest.CaptureFixture[str]) -> None:
    court.store(court.pair().run().b)
    away = TimestampAuthority("http://127.0.0.1:1/", str(court.authority.anchor), None, 1)
    Stamper(away, STAMPED, 1).look()
    assert commands.status_of(conf) == 1
    out = capsys.readouterr().out
    assert "Release" in out
    assert "does not answer" in out


def test_purged_evidence_is_gone_and_the_ledger_is_not(
    conf: cfg.ConfigOpts, migration: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with engine.session() as session:
        ledger.enter(session, migration, "cloud-a.sv2m", "vm", 1)
    ended(days=10)
    assert commands.purge(conf, yesterday(), dry_run=True) == 0
    assert "would be purged" in capsys.readouterr().out
    commands.purge(conf, yesterday(), dry_run=False)
    with engine.session() as session:
        assert messages.list_for(session, migration) == []
        assert timestamps.list_for(session, migration) == []
        assert audit.list_for(session, migration)[0].line.startswith('{"action":"purged"')
        assert ledger.last_generation(session, "cloud-a.sv2m", "vm") == 1
        assert migrations.get(session, migration).status == "completed"
    assert commands.verify(None) == 0
    with pytest.raises(errors.ReplayedMessage), engine.session() as session:
        ledger.enter(session, "other", "cloud-a.sv2m", "vm", 1)


def test_what_the_source_may_still_ask_for_stays(
    court: Court, conf: cfg.ConfigOpts, capsys: pytest.CaptureFixture[str]
) -> None:
    """B has signed its Receipt, and A has not confirmed that it heard it: A's Release must find an answer."""
    migration = court.store(court.pair().run("resume").b)
    with engine.session() as session:
        session.execute(sa.text("update migrations set phase = 'settled'"))
    ended(days=10)
    commands.purge(conf, yesterday(), dry_run=False)
    assert "may still ask" in capsys.readouterr().out
    with engine.session() as session:
        assert messages.find(session, migration, "Receipt") is not None


def test_what_is_not_old_enough_is_refused(conf: cfg.ConfigOpts, migration: str) -> None:
    conf.set_override("retention_days", 3650, "evidence")
    with pytest.raises(errors.LocalError, match="retention_days"):
        commands.purge(conf, yesterday(), dry_run=False)


def test_a_running_migration_is_never_purged(conf: cfg.ConfigOpts, migration: str) -> None:
    with engine.session() as session:
        session.execute(sa.text("update migrations set phase = 'closing'"))
    ended(days=10)
    commands.purge(conf, yesterday(), dry_run=False)
    with engine.session() as session:
        assert messages.list_for(session, migration)
