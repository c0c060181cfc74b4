# SPDX-License-Identifier: Apache-2.0
"""The end of what a migration had of keys: its own, on either side, and at A the copies of the server's."""

from __future__ import annotations

from collections.abc import Collection

from sv2m import errors
from sv2m.db.models import Migration
from sv2m.engine.work import Work


def destroy_keys(work: Work, refs: Collection[str]) -> None:
    """Delete the keys of a migration: those that the row knows, and those of which a killed engine did not write down.

    A that signs "removed" and B that signs nothing more both rely on it that nothing is left; the step is repeated.

    :raises KeyManagerError: at least one could not be deleted.
    """
    left = set(work.services.km.destroy(work.context, list(refs))["left"])
    left.update(work.services.km.forget(work.context, work.id, disks_of(work.row))["left"])
    if left:
        raise errors.KeyManagerError(f"{len(left)} keys could not be deleted, among them {min(left)}")


def disks_of(row: Migration) -> int:
    """How many disks the server has, and so how many EIKs at most; 0 where the row does not say yet.

    At A the API has had the keys of all the volumes copied before anybody knew what the server needs.
    """
    return max(len((row.needs or {}).get("disks", ())), len((row.state or {}).get("acl", ())))


def forget_keys(work: Work) -> None:
    """At A, however it ended: destroy VMK and the copies of the server's keys. May be repeated.

    :raises KeyManagerError: as :func:`destroy_keys`.
    """
    state = work.state
    acl = state.get("acl", [])
    if acl or "TokenBA2" in work.documents:
        vmk = [state["vmk_ref"]] if "vmk_ref" in state else []
        destroy_keys(work, [*vmk, *(one["copy_ref"] for one in state.get("copies", []))])
    for entry in acl:
        if entry["added"]:
            # The API was killed before it took SV2M's user off this list again.
            work.services.km.revoke(work.context, entry)
