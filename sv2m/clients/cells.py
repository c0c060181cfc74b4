# SPDX-License-Identifier: Apache-2.0
"""nova-compute's services, and whether Nova sees all its cells.

A cell whose database does not answer is left out of lists of servers without a word, and what Nova was about to delete
in it is "not found". So that something is not there is believed only while Nova sees every host: those of such a cell
it shows as UNKNOWN (from microversion 2.69 on).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sv2m import errors
from sv2m.clients.failures import translated

#: The first that shows hosts of cells that do not answer.
MICROVERSION = "2.69"


@dataclass(frozen=True)
class Compute:
    """A host's nova-compute, as Nova knows it.

    :param seen: whether Nova knows anything of it: not in a cell that does not answer.
    :param up: it reports to Nova.
    :param reported: when it last did, by Nova's clock (UTC, naive); None where Nova does not say.
    """

    host: str
    seen: bool
    up: bool
    reported: datetime | None


def computes(client: Callable[[str], Any], host: str | None = None) -> list[Compute]:
    """Every host's nova-compute, or one's.

    :param client: gives python-novaclient's Client for a microversion.
    """
    doing = "list the hosts of nova-compute" if host is None else f"read the state of nova-compute on {host}"
    with translated("Nova", doing):
        found = [one.to_dict() for one in client(MICROVERSION).services.list(host=host, binary="nova-compute")]
    return [_compute(one) for one in found]


@contextmanager
def all_seen(client: Callable[[str], Any]) -> Iterator[None]:
    """Nova sees all its cells, before and after what is asked in between: what it does not know is not there.

    :raises sv2m.errors.ServiceUnavailable: it does not.
    """
    _check(client)
    try:
        yield
    finally:
        _check(client)


def _check(client: Callable[[str], Any]) -> None:
    unseen = [one.host for one in computes(client) if not one.seen]
    if unseen:
        raise errors.ServiceUnavailable(
            f"Nova: a cell does not answer, among its hosts {min(unseen)}: what is there cannot be known",
            remedy="Look at the cell's database and message broker. SV2M asks again by itself.",
        )


def _compute(body: dict[str, Any]) -> Compute:
    reported = body.get("updated_at")
    return Compute(
        host=str(body.get("host") or ""),
        seen=body.get("status") != "UNKNOWN",
        up=body.get("state") == "up",
        reported=None if reported is None else datetime.fromisoformat(reported).replace(tzinfo=None),
    )
