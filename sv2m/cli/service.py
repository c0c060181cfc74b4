# SPDX-License-Identifier: Apache-2.0
"""``openstack secure migration service list``."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib.command import command

from sv2m.cli.client import client_of
from sv2m.cli.columns import moment
from sv2m.cli.faults import shown
from sv2m.cli.guarded import Guarded


class ListService(Guarded, command.Lister):
    """List SV2M's own programs and whether they run"""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Run it."""
        columns = ("Binary", "Host", "State", "Version", "Last Seen")
        with shown():
            rows = [
                (one.binary, one.host, one.state, one.version, moment(one.seen_at))
                for one in client_of(self).services()
            ]
        return columns, rows
