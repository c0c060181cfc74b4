# SPDX-License-Identifier: Apache-2.0
"""``openstack secure migration create | list | show | abort | decide``."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions
from osc_lib.command import command

from sv2m.cli import arguments, each
from sv2m.cli.client import client_of, is_admin, manager_of
from sv2m.cli.columns import Error, moment
from sv2m.cli.faults import sentence, shown
from sv2m.cli.guarded import Guarded
from sv2m.cli.progress import Progress
from sv2m.sdk import ids
from sv2m.sdk.migration import COMPLETED, FINAL, Migration
from sv2m.sdk.proxy import Proxy

COLUMNS = (
    "id",
    "role",
    "peer",
    "server_id",
    "server_name",
    "project_id",
    "user_id",
    "phase",
    "status",
    "abort_requested",
    "bytes_total",
    "bytes_done",
    "bytes_sent",
    "rate",
    "average_rate",
    "downtime_ms",
    "notice",
)
TIMES = ("created_at", "updated_at", "finished_at")
ABORT = "openstack secure migration abort"

#: What may be decided; see doc/operating.md.
DECISIONS = ("lost", "running", "taken-back", "let-go", "accept-key")


def details(migration: Migration) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names and values, for a table of one migration."""
    values = tuple(getattr(migration, "is_abort_requested" if name == "abort_requested" else name) for name in COLUMNS)
    times = tuple(moment(getattr(migration, name)) for name in TIMES)
    decision = "{kind}: {reason}".format(**migration.decision) if migration.decision else None
    error = Error(migration.error) if migration.error else None
    return (*COLUMNS, *TIMES, "decision", "error"), (*values, *times, decision, error)


class CreateMigration(Guarded, command.ShowOne):
    """Move a server to another cloud.

    Disk, memory and MAC address arrive as they are. Not so security groups and floating IPs (nothing gets in or out
    until somebody gives it some there: see "notice" of "migration show" in that cloud), its IP address, properties,
    tags, description, key pair, scheduler hints and server group. Its user becomes SV2M's.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="<server>", help="Server to move (name or ID)")
        parser.add_argument("destination", metavar="<destination>", help="Peer to move it to (name or ID)")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Show the progress until it has ended; the exit status is 0 only when it completed",
        )
        parser.add_argument(
            "--timeout",
            type=arguments.count,
            metavar="<seconds>",
            help="With --wait: wait no longer; the migration goes on all the same",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        if parsed_args.timeout is not None and not parsed_args.wait:
            raise exceptions.CommandError("--timeout says how long --wait waits: give both")
        server = manager_of(self).sdk_connection.compute.find_server(parsed_args.server, ignore_missing=False)
        client = client_of(self)
        with shown():
            destination = parsed_args.destination
            if ids.is_uuid(destination):
                destination = client.get_peer(destination).name
            migration = client.create_migration(id=str(uuid.uuid4()), server_id=server.id, destination=destination)
        if not parsed_args.wait:
            return details(migration)
        ended = _wait(client, migration.id, parsed_args.timeout)
        if ended.status != COMPLETED:
            why = f": {sentence(ended.error)}" if ended.error else ""
            raise exceptions.CommandError(f"migration {ended.id} {ended.status}{why}")
        return details(ended)


def _wait(client: Proxy, migration_id: str, timeout: float | None) -> Migration:
    goes_on = (
        f"The migration goes on. Look: openstack secure migration show {migration_id}; end it: {ABORT} {migration_id}"
    )
    print(f"Migration {migration_id}", file=sys.stderr)
    try:
        with shown():
            return client.wait_for_migration(
                migration_id, wait=timeout, callback=Progress(sys.stderr), silent=_say_silent
            )
    except KeyboardInterrupt:
        print(f"\n{goes_on}", file=sys.stderr)
        raise
    except sdk_exceptions.ResourceTimeout as error:
        raise exceptions.CommandError(f"{error}. {goes_on}") from error


def _say_silent(error: Exception) -> None:
    print(f"\nThe API does not answer ({type(error).__name__}); asking again", file=sys.stderr)


class ListMigration(Guarded, command.Lister):
    """List migrations, newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--status", choices=("running", *FINAL), help="Filter by status")
        parser.add_argument("--phase", metavar="<phase>", help="Filter by phase")
        parser.add_argument("--role", choices=("source", "destination"), help="Filter by what this cloud is in it")
        parser.add_argument("--server", metavar="<server>", help="Filter by server of this cloud (name or ID)")
        parser.add_argument("--peer", metavar="<peer>", help="Filter by the other cloud (name)")
        parser.add_argument("--user", metavar="<user>", help="Filter by who asked for it (name or ID)")
        parser.add_argument(
            "--project", metavar="<project>", help="Those of another project (name or ID; administrators only)"
        )
        parser.add_argument("--all-projects", action="store_true", help="Those of all projects (administrators only)")
        parser.add_argument(
            "--since",
            type=arguments.moment,
            metavar="<time>",
            help="Only what has changed since (ISO 8601, such as 2030-01-31T08:00; UTC unless it says otherwise)",
        )
        parser.add_argument(
            "--sort", choices=("created_at:desc", "created_at:asc"), help="Newest first (the default) or oldest first"
        )
        parser.add_argument(
            "--limit", type=arguments.count, metavar="<count>", help="Show no more than this number of migrations"
        )
        parser.add_argument("--marker", metavar="<migration>", help="Begin after this one (ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        everywhere = parsed_args.all_projects or parsed_args.project is not None
        columns = ("ID", "Server", "Role", "Peer", "Phase", "Status", "Error", "Done", "Created At")
        rows: list[tuple[Any, ...]] = []
        with shown():
            for one in client_of(self).migrations(**self._query(parsed_args, everywhere)):
                if parsed_args.limit is not None and len(rows) >= parsed_args.limit:
                    break
                rows.append((*_row(one), *((one.project_id,) if everywhere else ())))
        if not rows and not everywhere and is_admin(manager_of(self)):
            print("There is none in this project; --all-projects shows those of every project.", file=sys.stderr)
        return (*columns, *(("Project",) if everywhere else ())), rows

    def _query(self, parsed_args: argparse.Namespace, everywhere: bool) -> Mapping[str, Any]:
        connection = manager_of(self).sdk_connection
        query = {
            "status": parsed_args.status,
            "phase": parsed_args.phase,
            "role": parsed_args.role,
            "peer": parsed_args.peer,
            "changes_since": parsed_args.since,
            "sort_dir": parsed_args.sort and parsed_args.sort.partition(":")[2],
            "limit": parsed_args.limit,
            "marker": parsed_args.marker,
            "all_projects": "true" if everywhere else None,
            "server_id": _id_of(
                parsed_args.server,
                lambda name: connection.compute.find_server(
                    name, ignore_missing=False, **({"all_projects": True} if everywhere else {})
                ),
            ),
            "user_id": _id_of(parsed_args.user, lambda name: connection.identity.find_user(name, ignore_missing=False)),
            "project_id": _id_of(
                parsed_args.project, lambda name: connection.identity.find_project(name, ignore_missing=False)
            ),
        }
        return {name: value for name, value in query.items() if value is not None}


def _id_of(given: str | None, find: Any) -> str | None:
    """The id that was given, even of what exists no more; or that of what has this name."""
    if given is None or ids.is_uuid(given) or ids.is_hex(given):
        return given
    return str(find(given).id)


def _row(one: Migration) -> tuple[Any, ...]:
    done = f"{100 * (one.bytes_done or 0) // one.bytes_total} %" if one.bytes_total else ""
    code = (one.error or {}).get("code", "")
    return one.id, one.server_name, one.role, one.peer, one.phase, one.status, code, done, moment(one.created_at)


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
    """Abort migrations: the servers run on where they were"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("migration", metavar="<migration>", nargs="+", help="Migrations (IDs)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run it."""

        def abort(migration_id: str) -> str:
            found = client_of(self).abort_migration(migration_id)
            if found.is_final:
                return f"Migration {migration_id} was {found.status} already"
            return f"Migration {migration_id}: its abort is asked for; it is {found.phase}"

        each.of(parsed_args.migration, abort, "migrations", self.app.stdout)


class DecideMigration(Guarded, command.ShowOne):
    """Say how a migration goes on of which nobody else can say it. The cloud answers for it: it is signed"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("migration", metavar="<migration>", help="Migration (ID)")
        parser.add_argument(
            "kind",
            metavar="<decision>",
            choices=DECISIONS,
            help="At the destination, whose host is lost: lost (the server never ran there, and never will), or "
            "running; at the source, whose peer is silent for ever: taken-back (the server runs here again), or let-go "
            "(it is removed here); at either: accept-key (the peer's key was revoked after the commit, and its word "
            "counts)",
        )
        parser.add_argument(
            "--reason", metavar="<text>", required=True, help="Why, for the evidence; name no person (1000 characters)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        client = client_of(self)
        with shown():
            return details(client.decide_migration(parsed_args.migration, parsed_args.kind, parsed_args.reason))
