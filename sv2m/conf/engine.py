# SPDX-License-Identifier: Apache-2.0
"""Options of the engine."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "engine"
#: Seconds.
MONTH = 30 * 24 * 3600
OPTS = [
    cfg.ListOpt(
        "modules",
        default=["conductor", "cmm", "azm", "lmm", "mam", "km"],
        help="Which RPC endpoints this process serves. Those that touch private keys (mam, km, cmm) may run in an "
        "engine of their own, apart from the rest.",
    ),
    cfg.StrOpt(
        "agent_transport_url",
        secret=True,
        help="URL of the broker's virtual host in which the agent of a compute host is called; {host} stands for "
        "that host's [DEFAULT] host. The agent's own transport_url names the same virtual host, by a user of its own. "
        "Unset: agents are called by transport_url, and whoever is root on a compute host may then call whatever this "
        "engine's modules offer.",
    ),
    cfg.IntOpt(
        "threads",
        default=16,
        min=2,
        help="Migrations that one engine begins at the same time, half of them with one peer at most. Others wait "
        "for their turn in requested (source) or authenticated (destination), or for another engine. What has begun "
        "waits for no turn: each such migration has a thread of its own.",
    ),
    cfg.IntOpt(
        "offer_lifetime",
        default=7200,
        min=60,
        max=MONTH,
        help="Seconds from the offer until both sides may give up a migration that was not released. Longer than "
        "precopy_timeout, downtime_timeout and landing_timeout together, and not longer than the peers let an offer "
        "live (their longest_offer_lifetime).",
    ),
    cfg.IntOpt(
        "longest_offer_lifetime",
        default=86400,
        min=60,
        max=MONTH,
        help="Seconds for which a peer's offer may ask to be held: so long a peer that says nothing more can keep "
        "room, volume and port here. One that asks for longer is refused (offer-lives-too-long).",
    ),
    cfg.IntOpt(
        "certificate_margin",
        default=3600,
        min=60,
        max=MONTH,
        help="Seconds by which the certificates of both clouds, with those of the CAs above them, have to outlive the "
        "end of an offer. Otherwise nothing is offered, accepted or released (source-certificate-ends, "
        "destination-certificate-ends).",
    ),
    cfg.IntOpt(
        "exchange_lifetime",
        default=30,
        min=5,
        help="Seconds that a peer has to answer TokenBA1 with TokenAB (FIPS 196 leaves the figure to the parties).",
    ),
    cfg.IntOpt(
        "unanswered_offers",
        default=16,
        min=1,
        help="Offers of one peer that may wait for its TokenAB at the same time, each for exchange_lifetime at most. "
        "To a further one the gateway answers 429 (too-many-offers), and an honest source asks again later. Each waits "
        "in the database; one that is never answered is removed tidying_time after its end.",
    ),
    cfg.IntOpt(
        "heartbeat",
        default=10,
        min=1,
        help="Seconds between two signs of life that an engine leaves on each migration that it works on, and between "
        "two looks for those that nobody works on.",
    ),
    cfg.IntOpt(
        "stale_after",
        default=60,
        min=5,
        help="Seconds without a sign of life after which another engine takes a migration over.",
    ),
    cfg.IntOpt("precopy_timeout", default=3600, min=30, help="Seconds that the disks may take while the VM runs."),
    cfg.IntOpt(
        "downtime_timeout",
        default=600,
        min=10,
        help="Seconds from the pause at A until everything is sealed; after them the VM is resumed at A. A VM of which "
        "more is left than can be sent in this time, at the rate that was measured, is not stopped at all.",
    ),
    cfg.IntOpt(
        "landing_timeout",
        default=300,
        # Nova's delete, of which Nova loses the first request, takes longer than lost_requests.BEGINS_WITHIN.
        min=90,
        help="Seconds that B has to make volume, port and placeholder, and that Nova has to delete a server or to let "
        "it go on.",
    ),
    cfg.StrOpt(
        "landing_network",
        help="Name or id of the Neutron network on which arriving servers' ports are made, as the receiving project "
        "sees it. Unset: servers with a network interface are refused.",
    ),
    cfg.StrOpt(
        "landing_security_group",
        help="Name or id of the receiving project's security group for an arriving server's port, for instance "
        "'default'. Unset: a group of its own without any rule, so that nothing reaches the server, and it reaches "
        "nothing, before its owner has said what may.",
    ),
    cfg.IntOpt(
        "closure_patience",
        default=604800,
        min=60,
        help="Seconds that A goes on offering its last word, the Closure, to a peer that does not take it. Nothing "
        "waits for it: the migration has ended.",
    ),
    cfg.IntOpt(
        "tidying_time",
        default=900,
        min=60,
        help="Seconds after the end of a migration during which an engine looks again for what was made or done for it "
        "too late: by a service that did not answer in time, and did what it was asked all the same. Longer than the "
        "longest that Nova, Cinder, Neutron, Glance or Barbican takes for a request, queues included.",
    ),
    cfg.IntOpt(
        "rate_limit",
        default=0,
        min=0,
        help="Bytes per second on the data channel of one migration while its server runs; 0: none. Nothing brakes it "
        "while the server stands still. Fewer than 131072 are few for a large server, of which a segment (64 MiB) must "
        "arrive within [agent] progress_timeout.",
    ),
]


def ends_early(conf: cfg.ConfigOpts) -> str | None:
    """Why an offer of this cloud may end before what it has to outlast; None: it does not.

    Whichever limit was forgotten would end a transfer after hours.
    """
    engine = conf.engine
    steps = engine.landing_timeout + engine.precopy_timeout + engine.downtime_timeout
    if engine.offer_lifetime >= steps:
        return None
    return (
        f"[engine] offer_lifetime ({engine.offer_lifetime}) is less than landing_timeout, precopy_timeout and "
        f"downtime_timeout together ({steps}): a transfer that is within these may still end with offer-expired"
    )


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of [engine]."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [(GROUP, OPTS)]
