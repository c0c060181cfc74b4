# SPDX-License-Identifier: Apache-2.0
"""Keys, lent to the agent of one compute host while it takes them up.

The agent's user has no role in the project whose keys these are: it reads what its name is put on, and only while its
name is on it. Root on a compute host so reads the keys of the servers that move to or from that host, which it could
take out of their QEMU anyway, and no others.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

from sv2m import errors
from sv2m.engine.work import Work

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def lent(work: Work, host: str, refs: Sequence[str]) -> Iterator[None]:
    """Let the agent of a host read keys of this migration, until the block ends.

    A kill in the block leaves the agent on the keys' lists until the keys themselves are destroyed, when the migration
    ends; so does a Barbican that fails to take it off.
    """
    reader = work.services.edm.reader(work.context, host)
    work.services.km.grant(work.context, list(refs), reader)
    try:
        yield
    finally:
        try:
            work.services.km.withdraw(work.context, list(refs), reader)
        except errors.SV2MError as error:
            LOG.warning("Migration %s: user %s may read its keys until they are destroyed: %s", work.id, reader, error)
