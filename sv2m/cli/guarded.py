# SPDX-License-Identifier: Apache-2.0
"""Every command's first look at its arguments."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib.command import command

from sv2m import errors


class Guarded(command.Command):
    """Refuses a private key among the arguments before anything quotes, sends or acts on them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parse = parser.parse_known_args

        def checked(args: Any = None, namespace: Any = None) -> Any:
            try:
                errors.refuse_private_key("\n".join(args or ()), "one of the arguments")
            except errors.PrivateKeyGiven as error:
                # argparse's own messages quote what they are about.
                parser.error(f"{error} ({error.code}). {error.remedy}")
            return parse(args, namespace)

        # On the object: commands add their arguments to the parser that their base class has made.
        vars(parser)["parse_known_args"] = checked
        return parser
