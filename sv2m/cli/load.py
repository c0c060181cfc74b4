# SPDX-License-Identifier: Apache-2.0
"""``openstack secure migration load list``."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib.command import command

from sv2m.cli.client import client_of
from sv2m.cli.columns import Share, moment
from sv2m.cli.faults import shown
from sv2m.cli.guarded import Guarded


class ListLoad(Guarded, command.Lister):
    """List the load of the compute hosts, and which run short of room"""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        columns = ("Host", "VCPUs", "Memory MiB", "Disk GiB", "Servers", "Short", "Updated At")
        with shown():
            rows = [
                (
                    one.host,
                    Share((one.vcpus_used, one.vcpus)),
                    Share((one.memory_mb_used, one.memory_mb)),
                    Share((one.disk_gb_used, one.disk_gb)),
                    one.servers,
                    one.is_short,
                    moment(one.updated_at),
                )
                for one in client_of(self).load()
            ]
        return columns, rows
