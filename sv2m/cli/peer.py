# SPDX-License-Identifier: Apache-2.0
"""``openstack secure migration peer create | list | show | set | delete``."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib import exceptions
from osc_lib.cli import parseractions
from osc_lib.command import command

from sv2m.cli import each, files
from sv2m.cli.client import client_of, manager_of
from sv2m.cli.columns import moment
from sv2m.cli.faults import shown
from sv2m.cli.guarded import Guarded
from sv2m.evidence import pem
from sv2m.sdk.peer import Peer

COLUMNS = (
    "id",
    "name",
    "url",
    "direction",
    "project_id",
    "limits",
    "effective_limits",
    "volume_type_map",
    "data_networks",
    "is_enabled",
    "ca_pem",
    "tls_ca_pem",
    "created_at",
    "updated_at",
)
TIMES = ("created_at", "updated_at")
LIMITS = ("memory_mb", "vcpus", "disk_gb", "migrations")


def details(peer: Peer) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names and values, for a table of one agreement."""
    names = tuple("enabled" if name == "is_enabled" else name for name in COLUMNS)
    values = {name: getattr(peer, name) for name in COLUMNS}
    return names, tuple(moment(value) if name in TIMES else value for name, value in values.items())


def _name_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("peer", metavar="<peer>", help="Peer (name or ID)")


def _add_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--url", metavar="<url>", required=required, help="URL of its gateway (https)")
    parser.add_argument(
        "--ca-file",
        metavar="<file>",
        required=required,
        help="PEM file: the CA that its evidence certificate must come from",
    )
    parser.add_argument(
        "--tls-ca-file", metavar="<file>", help="PEM file: the CA of its TLS (default: the same)"
    )
    parser.add_argument(
        "--direction",
        choices=("outgoing", "incoming", "both"),
        required=required,
        help="Whether servers go to it, come from it, or both",
    )
    parser.add_argument(
        "--project", metavar="<project>", help="Project that receives its servers (name or ID)"
    )
    parser.add_argument(
        "--limit",
        metavar="<name>=<number>",
        action=parseractions.KeyValueAction,
        dest="limits",
        help=f"Refuse more than this: {', '.join(LIMITS)} (repeat for several; peer set leaves the others as they are)",
    )
    parser.add_argument(
        "--volume-type",
        metavar="<cipher>-<bits>=<type>",
        action=parseractions.KeyValueAction,
        dest="volume_type_map",
        help="Our volume type for arriving volumes that are encrypted so, such as aes-xts-plain64-256=luks; "
        "plain=<type> is for those that are not encrypted (repeat for several)",
    )
    parser.add_argument(
        "--data-network",
        metavar="<cidr>",
        action="append",
        dest="data_networks",
        help="Network in which its compute hosts' data endpoints lie: servers are sent to no other address "
        "(repeat for several; peer set replaces them all)",
    )
    switch = parser.add_mutually_exclusive_group()
    switch.add_argument("--enable", dest="enabled", action="store_true", default=None, help="Enable it")
    switch.add_argument("--disable", dest="enabled", action="store_false", default=None, help="Disable it")


def _attributes(manager: Any, parsed_args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, and nothing of what it does not."""
    found: dict[str, Any] = {
        "url": parsed_args.url,
        "direction": parsed_args.direction,
        "is_enabled": parsed_args.enabled,
        "volume_type_map": parsed_args.volume_type_map,
        "data_networks": parsed_args.data_networks,
    }
    if parsed_args.ca_file is not None:
        found["ca_pem"] = pem.encode(files.anchors("--ca-file", parsed_args.ca_file))
    if parsed_args.tls_ca_file is not None:
        found["tls_ca_pem"] = pem.encode(files.certificates("--tls-ca-file", parsed_args.tls_ca_file))
    if parsed_args.limits is not None:
        found["limits"] = {name: _number(name, value) for name, value in parsed_args.limits.items()}
    if parsed_args.project is not None:
        identity = manager.sdk_connection.identity
        found["project_id"] = identity.find_project(parsed_args.project, ignore_missing=False).id
    return {name: value for name, value in found.items() if value is not None}


def _number(name: str, value: str) -> int:
    if name not in LIMITS or not value.isdigit():
        raise exceptions.CommandError(f"--limit takes NAME=NUMBER, and NAME is one of {', '.join(LIMITS)}")
    return int(value)


class CreatePeer(Guarded, command.ShowOne):
    """Make an agreement with another cloud"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="<name>", help="Name of the peer, as its certificate spells it")
        _add_options(parser, required=True)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        manager = manager_of(self)
        attributes = _attributes(manager, parsed_args)
        with shown():
            return details(client_of(self).create_peer(name=parsed_args.name, **attributes))


class ListPeer(Guarded, command.Lister):
    """List the agreements with other clouds"""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        columns = ("ID", "Name", "URL", "Direction", "Project", "Limits", "Enabled")
        with shown():
            rows = [
                (
                    one.id,
                    one.name,
                    one.url,
                    one.direction,
                    one.project_id,
                    ", ".join(f"{name}={value}" for name, value in sorted((one.effective_limits or {}).items())),
                    one.is_enabled,
                )
                for one in client_of(self).peers()
            ]
        return columns, rows


class ShowPeer(Guarded, command.ShowOne):
    """Show the agreement with another cloud"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _name_argument(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        with shown():
            return details(client_of(self).get_peer(parsed_args.peer))


class SetPeer(Guarded, command.Command):
    """Change the agreement with another cloud"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _name_argument(parser)
        _add_options(parser, required=False)
        parser.add_argument(
            "--no-limit", action="store_true", help="Take all limits away (before those of --limit are set)"
        )
        parser.add_argument(
            "--no-data-network", action="store_true", help="Allow any address again that can be another host's"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run it."""
        manager = manager_of(self)
        client = client_of(self)
        attributes = _attributes(manager, parsed_args)
        if parsed_args.no_data_network:
            attributes["data_networks"] = parsed_args.data_networks or []
        with shown():
            before = client.get_peer(parsed_args.peer)
            for name, cleared in (("limits", parsed_args.no_limit), ("volume_type_map", False)):
                if name in attributes or cleared:
                    kept = {} if cleared else getattr(before, name) or {}
                    attributes[name] = {**kept, **attributes.get(name, {})}
            client.update_peer(before, **attributes)


class DeletePeer(Guarded, command.Command):
    """End agreements with other clouds"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("peer", metavar="<peer>", nargs="+", help="Peers (names or IDs)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run it."""

        def delete(peer: str) -> str:
            client_of(self).delete_peer(peer)
            return f"The agreement with {peer} has ended"

        each.of(parsed_args.peer, delete, "agreements", self.app.stdout)
