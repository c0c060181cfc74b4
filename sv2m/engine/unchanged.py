# SPDX-License-Identifier: Apache-2.0
"""At A, whether a server and its volumes are still those of the offer, as Nova, Cinder and the agent see them now.

Nova's lock keeps the owner's hands off the server, but not an administrator's, and nobody's off Cinder.
"""

from __future__ import annotations

import json
from typing import Any

from sv2m import errors
from sv2m.engine import describing
from sv2m.engine.work import Work

#: Parts of the descriptor that may change without anything of the guest.
_FREE = ("name",)


def check_before_stop(work: Work) -> None:
    """Describe the running server once more, and compare.

    :raises ServerChanged: naming what is not as it was offered.
    :raises ServerNotMovable: it has got something that stands in the way.
    """
    server = work.services.servers.get(work.row.server_id or "")
    _check_place(work, server)
    now, _ = describing.describe(work, server)
    offered = dict(work.row.needs or {})
    differing = [key for key in offered if key not in _FREE and _plain(offered[key]) != _plain(now.get(key))]
    if differing:
        told = "; ".join(f"{key}: {_plain(offered[key])} then, {_plain(now.get(key))} now" for key in differing)
        raise errors.ServerChanged(f"server {server['id']} is not what was offered: {told}")


def check_before_release(work: Work) -> None:
    """Look once more at the server that stands still, and at its volumes.

    :raises ServerChanged: naming what is not as it was offered, or has run or was written since it was sealed.
    :raises ServerNotMovable: a volume is busy, or has got snapshots.
    """
    server = work.services.servers.get(work.row.server_id or "")
    _check_place(work, server)
    for volume in work.state["volumes"]:
        size = describing.check_volume(work, volume["id"], server["id"])["size"]
        if size != volume.get("size", size):
            raise errors.ServerChanged(
                f"volume {volume['id']} had {volume['size']} GiB when it was offered, and has {size} now",
                code="disk-resized",
            )
    work.services.edm.check_unchanged(work.context, work.row.host or "", work.id)


def _check_place(work: Work, server: dict[str, Any]) -> None:
    if server["host"] != work.row.host:
        raise errors.ServerChanged(f"server {server['id']} was on {work.row.host}, and is on {server['host']} now")
    offered = sorted(volume["id"] for volume in work.state["volumes"])
    if sorted(server["volume_ids"]) != offered:
        raise errors.ServerChanged(
            f"server {server['id']} had volumes {', '.join(offered) or 'none'}, and has "
            f"{', '.join(sorted(server['volume_ids'])) or 'none'} now"
        )


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
