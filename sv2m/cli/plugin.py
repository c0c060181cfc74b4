# SPDX-License-Identifier: Apache-2.0
"""What the ``openstack`` command asks of a plugin."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib import exceptions, utils

from sv2m.sdk.proxy import Proxy
from sv2m.sdk.service import SecureMigrationService

DEFAULT_API_VERSION = "1"
API_VERSION_OPTION = "os_secure_migration_api_version"
API_NAME = "secure_migration"
API_VERSIONS = {"1": "sv2m.sdk.proxy.Proxy", "1.0": "sv2m.sdk.proxy.Proxy"}


def check_api_version(version: str) -> bool:
    """Whether this plugin speaks the version that was asked for.

    :raises osc_lib.exceptions.CommandError: it does not.
    """
    if version not in API_VERSIONS:
        raise exceptions.CommandError("--os-secure-migration-api-version: this client speaks version 1.0 alone")
    return True


def make_client(instance: Any) -> Proxy:
    """The proxy, on the connection that the command has made."""
    connection = instance.sdk_connection
    connection.add_service(SecureMigrationService())
    client: Proxy = connection.secure_migration
    return client


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the option that chooses the API's major version."""
    parser.add_argument(
        "--os-secure-migration-api-version",
        metavar="<secure-migration-api-version>",
        default=utils.env("OS_SECURE_MIGRATION_API_VERSION"),
        help=f"Secure migration API version, default={DEFAULT_API_VERSION} "
        "(Env: OS_SECURE_MIGRATION_API_VERSION)",
    )
    return parser
