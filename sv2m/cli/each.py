# SPDX-License-Identifier: Apache-2.0
"""The same for each of several things that were named: one that fails does not keep the others from being done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions

from sv2m.cli.faults import shown


def of(names: Sequence[str], do: Callable[[str], str], what: str, output: TextIO) -> None:
    """Do it, and say of each what was done.

    :param do: does it to one, and returns what was done.
    :param what: what they are, in the plural.
    :raises osc_lib.exceptions.CommandError: of some it could not be done: each with the reason.
    """
    failed = []
    for name in names:
        try:
            with shown():
                output.write(f"{do(name)}\n")
        except (exceptions.CommandError, sdk_exceptions.SDKException) as error:
            failed.append(str(error))
    if failed:
        count = f"{len(failed)} of {len(names)} {what} failed: " if len(names) > 1 else ""
        raise exceptions.CommandError(count + "; ".join(failed))
