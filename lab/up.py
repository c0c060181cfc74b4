# SPDX-License-Identifier: Apache-2.0
"""Starting a lab: every step of both clouds as soon as what it needs is there, side by side."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from lab import agreements, catalog, namespace, pki, resources, schema
from lab.cloud import Cloud, Lab
from lab.down import forget, stop_all
from lab.guest import image
from lab.plan import Plan
from lab.process import Record
from lab.progress import Progress
from lab.services import components, keystone
from lab.services.base import Daemon
from lab.ttp import service as ttp


@contextmanager
def exclusive(lab: Lab) -> Iterator[None]:
    """Hold the lab for one command that starts or ends it; a second one waits."""
    lab.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
    with (lab.directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_up(lab: Lab) -> bool:
    """True when a start was completed and every process it started still runs."""
    records = [
        daemon.record(cloud)
        for cloud in lab.clouds.values()
        for part in components()
        for daemon in part.daemons
    ]
    records += [Record(lab.ttp.run / "ttp.json")]
    return (lab.directory / "up").exists() and all(record.running() for record in records)


def up(lab: Lab, progress: Progress) -> None:
    """Start both clouds and the third party; what a killed start left is ended first.

    Raises:
        StepFailedError: a step failed; the message names it and says where the log is
    """
    with exclusive(lab):
        if is_up(lab):
            progress.say("the lab is up already")
            return
        if ended := stop_all(lab, 0.0):
            progress.say(f"ended {ended} processes of an earlier start")
        forget(lab)
        plan = Plan(progress)
        _add_shared(plan, lab)
        for cloud in lab.clouds.values():
            _add_cloud(plan, cloud)
        plan.execute()
        (lab.directory / "up").touch()
        progress.say("both clouds are up")


def _add_shared(plan: Plan, lab: Lab) -> None:
    schema.add_steps(plan, lab)
    plan.add("guest image", lambda: image.prepare(lab))
    plan.add("ttp: namespace", lambda: namespace.create(lab.ttp))
    plan.add("ttp", lambda: ttp.start(lab), ["ttp: namespace"])
    plan.add("network", lambda: namespace.connect(lab), ["ttp: namespace", "a: namespace", "b: namespace"])


def _add_cloud(plan: Plan, cloud: Cloud) -> None:
    """Steps of one cloud. `catalog` and the like are steps, every daemon is a step of its own name."""

    def add(name: str, run: Callable[[Cloud], None], *needs: str, shared: tuple[str, ...] = ()) -> None:
        plan.add(
            f"{cloud.name}: {name}",
            partial(run, cloud),
            [*(f"{cloud.name}: {need}" for need in needs), *shared],
        )

    def entered(run: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
        def work(cloud: Cloud) -> None:
            with namespace.in_network(cloud):
                run(cloud)

        return work

    add("namespace", namespace.create)
    add("configuration", _configure, "namespace")
    add("databases", schema.copy, "namespace", shared=("databases",))
    for part in components():
        for daemon in part.daemons:
            add(daemon.name, daemon.start, "configuration", *daemon.needs, shared=_cables(daemon))
    add("bootstrap", keystone.bootstrap, "configuration", "mariadb")
    add("catalog", entered(catalog.enter), "bootstrap", "keystone")
    add("flavors", entered(resources.add_flavors), "catalog", "nova-api")
    add("volume types", entered(resources.add_volume_types), "catalog", "cinder-api")
    add("subnet", entered(resources.add_network), "catalog", "neutron")
    add("images", entered(image.upload), "catalog", "glance", shared=("guest image",))
    ready = ("nova-compute", "nova-scheduler", "nova-api", "cinder-volume", "cinder-scheduler", "cinder-api")
    add("ready", entered(resources.await_compute), *ready)
    add("certificate", agreements.enrol, "mariadb", "catalog", "barbican", shared=("ttp", "network"))
    both = tuple(f"{name}: configuration" for name in cloud.lab.clouds)
    add("agreement", entered(agreements.agree), "sv2m-api", "sv2m-engine", shared=(*both, "ttp"))


def _cables(daemon: Daemon) -> tuple[str, ...]:
    """SV2M's programs bind to the network between the clouds, which must be there by then."""
    return ("network",) if daemon.name.startswith("sv2m") else ()


def _configure(cloud: Cloud) -> None:
    for directory in ("home", "plugins"):
        (cloud.directory / directory).mkdir(parents=True, exist_ok=True)
    pki.issue(cloud)
    for part in components():
        part.configure(cloud)
