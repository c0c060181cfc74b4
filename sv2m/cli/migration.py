# SPDX-License-Identifier: Apache-2.0
"""``openstack secure migration create | list | show | abort``."""

from __future__ import annotations

import argparse
import sys
import uuid
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from sv2m.cli.client import client_of, manager_of
from sv2m.cli.faults import sentence, shown
from sv2m.cli.guarded import Guarded
from sv2m.cli.progress import Progress
from sv2m.sdk.migration import COMPLETED, FINAL, Migration

COLUMNS = (
    "id",
    "role",
    "peer",
    "server_id",
    "server_name",
    "project_id",
    "phase",
    "status",
    "bytes_total",
    "bytes_done",
    "bytes_sent",
    "rate",
    "average_rate",
    "downtime_ms",
    "created_at",
    "updated_at",
    "finished_at",
)


def details(migration: Migration) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names and values, for a table of one migration."""
    error = sentence(migration.error) if migration.error else None
    names = (*COLUMNS, "notice")
    return (*names, "error"), (*(getattr(migration, name) for name in names), error)


class CreateMigration(Guarded, command.ShowOne):
    """Move a server to another cloud"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="<server>", help="Server to move (name or ID)")
        parser.add_argument("destination", metavar="<destination>", help="Peer to move it to (name)")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Show the progress until it has ended; the exit status is 0 only when it completed",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        manager = manager_of(self)
        server = manager.sdk_connection.compute.find_server(parsed_args.server, ignore_missing=False)
        client = client_of(self)
        with shown():
            migration = client.create_migration(
                id=str(uuid.uuid4()), server_id=server.id, destination=parsed_args.destination
            )
            if parsed_args.wait:
                print(f"Migration {migration.id}", file=sys.stderr)
                migration = client.wait_for_migration(migration.id, callback=Progress(sys.stderr))
        if parsed_args.wait and migration.status != COMPLETED:
            why = f": {sentence(migration.error)}" if migration.error else ""
            raise exceptions.CommandError(f"migration {migration.id} {migration.status}{why}")
        return details(migration)


class ListMigration(Guarded, command.Lister):
    """List migrations"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--status", choices=("running", *FINAL), help="Only those of this status")
        parser.add_argument("--role", choices=("source", "destination"), help="Only those of this role")
        parser.add_argument("--server", metavar="<server>", help="Only those of this server (ID)")
        parser.add_argument("--peer", metavar="<peer>", help="Only those with this peer (name)")
        parser.add_argument("--all-projects", action="store_true", help="Those of all projects (admin only)")
        parser.add_argument("--limit", type=int, metavar="<count>", help="At most so many")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        query = {
            "status": parsed_args.status,
            "role": parsed_args.role,
            "server_id": parsed_args.server,
            "peer": parsed_args.peer,
            "limit": parsed_args.limit,
            "all_projects": "true" if parsed_args.all_projects else None,
        }
        columns = ("ID", "Server", "Role", "Peer", "Phase", "Status", "Error", "Done", "Created At")
        rows: list[tuple[Any, ...]] = []
        with shown():
            found = client_of(self).migrations(
                **{name: value for name, value in query.items() if value is not None}
            )
            for one in found:
                if parsed_args.limit is not None and len(rows) >= parsed_args.limit:
                    break
                done = f"{100 * (one.bytes_done or 0) // one.bytes_total} %" if one.bytes_total else ""
                code = (one.error or {}).get("code", "")
                rows.append(
                    (one.id, one.server_name, one.role, one.peer, one.phase, one.status, code, done, one.created_at)
                )
        return columns, rows


class ShowMigration(Guarded, command.ShowOne):
    """Show a migration"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("migration", metavar="<migration>", help="Migration (ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        with shown():
            return details(client_of(self).get_migration(parsed_args.migration))


class AbortMigration(Guarded, command.Command):
    """Abort a migration: the server runs on where it was"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("migration", metavar="<migration>", help="Migration (ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run it."""
        with shown():
            client_of(self).abort_migration(parsed_args.migration)
