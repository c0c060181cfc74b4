# SPDX-License-Identifier: Apache-2.0
"""Makes the saved evidence anew."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from sv2m.api import evidence
from sv2m.db import engine, migrations
from sv2m.engine import retention
from sv2m.engine.stamping import Stamper
from sv2m.evidence import timestamps
from sv2m.evidence.folder import Folder
from tests.fuzz import saved
from tests.unit.evidence.court import STAMPED, Court, kept


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        court = Court(Path(directory))
        path = Path(directory) / "db.sqlite"
        shutil.copy(court._empty, path)
        engine.use(sa.create_engine(f"sqlite:///{path}"))
        migration_id = court.store(court.pair().run().b)
        stamper = Stamper(court.tsa, STAMPED, 1)
        stamper.look()
        with engine.session() as session:
            row = migrations.get(session, migration_id)
        retention.restamp(row, evidence.files(kept(migration_id, "cloud-b.sv2m")), court.tsa, "sv2m-manage:operator")
        stamper.look()
        content = evidence.archive(kept(migration_id, "cloud-b.sv2m"))
        saved.ARCHIVE.write_bytes(content)
        query = timestamps.Query.of(Folder.unpack("", content).files["messages/10-Receipt.xml"])
        saved.ANSWER.write_bytes(court.authority.timestamps.answer(query.body))
        asked = {"made": int(time.time()), "nonce": str(query.nonce), "body": query.body.hex()}
        saved.QUERY.write_text(json.dumps(asked, indent=1) + "\n")


main()
