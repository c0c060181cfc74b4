# SPDX-License-Identifier: Apache-2.0
"""``openstack secure migration evidence save``."""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

from osc_lib.command import command

from sv2m.cli.client import client_of
from sv2m.cli.faults import shown


class SaveEvidence(command.Command):
    """Save the signed messages of a migration, with a text that says how to check them"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("migration", metavar="<migration>", help="Migration (ID)")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--file", metavar="<file>", help="Zip file (default: evidence-ID.zip)")
        where.add_argument("--directory", metavar="<directory>", help="Unpack into it instead")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run it."""
        with shown():
            content = client_of(self).download_evidence(parsed_args.migration)
        if parsed_args.directory:
            # extractall drops leading slashes and "..": nothing lands outside of the directory.
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(parsed_args.directory)
            saved = Path(parsed_args.directory)
        else:
            saved = Path(parsed_args.file or f"evidence-{parsed_args.migration}.zip")
            saved.write_bytes(content)
        self.app.stdout.write(f"{saved}\n")
