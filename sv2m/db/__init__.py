# SPDX-License-Identifier: Apache-2.0
"""The truth: every migration, every signed message, every peer, on one SQL database.

============ ==========================================================================================
models       the tables
engine       connections and transactions: ``with engine.session() as session``
migrations   the migrations of this cloud, in either role; compare-and-swap on (phase, generation)
messages     the signed documents that were sent and received: the evidence
peers        the federation agreements
ledger       what was accepted from peers, for ever: the memory against replay and rollback
certificates this cloud's own evidence certificates (references to Barbican, never a key)
leases       what one engine does for all of them
sync         the schema's version: alembic
============ ==========================================================================================

Every function takes the session of the caller, so that several of them make one transaction. Rows stay
readable after the session has ended. All times are aware UTC :class:`~datetime.datetime` in Python and
naive UTC with microseconds in the database. JSON columns are replaced as a whole: a change inside a stored
dictionary is not noticed.
"""
