# SPDX-License-Identifier: Apache-2.0
"""Options of sv2m-agent, the program on every compute host."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "agent"
OPTS = [
    cfg.StrOpt(
        "libvirt_uri",
        default="qemu:///system",
        help="The libvirt that runs this host's servers; the same as nova-compute uses.",
    ),
    cfg.StrOpt(
        "state_path",
        default="/var/lib/sv2m/agent",
        help="Directory of the agent's journal, sockets and FIFOs, mode 0700. A short path, because that "
        "of a unix socket may have 107 characters. Nothing of a VM is ever stored here.",
    ),
    cfg.HostAddressOpt(
        "data_listen_address",
        default="0.0.0.0",  # noqa: S104 - peers come from outside
        help="Address on which segments from peer clouds are accepted.",
    ),
    cfg.HostAddressOpt(
        "data_endpoint_host",
        help="Address under which peer clouds reach data_listen_address; default is the node's own name.",
    ),
    cfg.PortOpt("data_port", default=9893, help="TCP port of the data endpoint; 0 takes any free one."),
    cfg.IntOpt(
        "max_connections",
        default=64,
        min=1,
        help="Data connections that the endpoint holds at once, with those that have not shown a ticket yet. "
        "For one more the oldest of these makes way; it is closed itself when all have shown one.",
    ),
    cfg.IntOpt(
        "hello_timeout", default=10, min=1, help="Seconds that a new data connection has to show its ticket."
    ),
    cfg.IntOpt(
        "stall_timeout",
        default=60,
        min=15,
        help="Seconds after which a data connection that stops in the middle of a segment is broken, or on which "
        "the destination neither takes anything nor gives a sign of life, as it does every 5 seconds while it stores.",
    ),
    cfg.IntOpt(
        "progress_timeout",
        default=900,
        min=60,
        help="Seconds without a segment that the destination has stored after which a source gives it up, though it "
        "gives signs of life.",
    ),
    cfg.IntOpt(
        "retry_seconds",
        default=120,
        min=1,
        help="Seconds for which a source tries to reach the destination's data endpoint again after a loss, "
        "before the migration is given up.",
    ),
    cfg.IntOpt(
        "window_mib",
        default=32,
        min=8,
        help="MiB of sealed segments that a source keeps until the destination has confirmed them; at least "
        "two segments are kept whatever their size.",
    ),
    cfg.IntOpt(
        "rate_limit_mib",
        default=0,
        min=0,
        help="MiB per second that one migration may send while its server runs; 0 is no limit. A job's own limit "
        "wins if lower. Nothing brakes it while the server stands still.",
    ),
    cfg.IntOpt(
        "disk_threshold_mib",
        default=16,
        min=0,
        help="No further round is made over no more than this: the server is stopped, if what is left can be sent in "
        "time.",
    ),
    cfg.IntOpt(
        "disk_rounds",
        default=12,
        min=1,
        help="Rounds over changed disk blocks at most; then the server is stopped if what is left can be sent in time.",
    ),
    cfg.IntOpt(
        "monitor_timeout",
        default=60,
        min=5,
        help="Seconds that QEMU or qemu-nbd may take for one step (to start, to report an end).",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of [agent]."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [(GROUP, OPTS)]
