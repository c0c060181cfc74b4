# SPDX-License-Identifier: Apache-2.0
"""What a migration's phases mean, for whoever has asked for it: at the source, where the command runs."""

from __future__ import annotations

SENTENCES = {
    "requested": "it is asked whether this server may move there",
    "offered": "the two clouds authenticate each other",
    "authenticated": "the other cloud looks for room",
    "accepted": "the other cloud has accepted; the keys of the disks are wrapped for it",
    "enveloped": "the other cloud makes volume, port and place for the server",
    "transferring": "disks and memory travel; the server stands still for the last part only",
    "transferred": "all has travelled; the other cloud verifies and restores it",
    "prepared": "the other cloud holds the server; the move becomes final",
    "released": "the other cloud lets the server run",
    "receipted": "the server runs there; what is left here is deleted",
    "closing": "the other cloud is told that nothing is left here",
    "closed": "the server runs there, and nothing is left here",
    "returning": "the other cloud could not let it run; it goes on here",
    "returned": "the other cloud could not let it run; it goes on here",
    "reclaiming": "by a decision of this cloud's people it goes on here",
    "reporting": "by a decision of this cloud's people it goes on here; the other cloud is told",
    "reclaimed": "by a decision of this cloud's people it goes on here",
    "relinquishing": "by a decision of this cloud's people what is left here is deleted",
    "inquiring": "nothing is left here, by a decision of this cloud's people; the other cloud is asked for its word",
    "relinquished": "nothing is left here, by a decision of this cloud's people",
    "withdrawing": "given up; everything is undone",
    "telling": "given up, and undone; the other cloud is told",
    "withdrawn": "given up; the server goes on here",
    "refused": "the other cloud refused; the server goes on here",
}
