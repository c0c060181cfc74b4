# SPDX-License-Identifier: Apache-2.0
"""`python -m lab`: the command line."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import demo, status
from lab.cloud import Lab
from lab.down import leftovers, stop_all
from lab.guest import image
from lab.namespace import CommandFailedError, NotRunningError, in_network, inside
from lab.plan import StepFailedError
from lab.progress import Progress
from lab.resources import add_image
from lab.session import user_environment
from lab.ttp import command as ttp
from lab.up import exclusive, is_up, up


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="Two OpenStack clouds on this machine."
    )
    parser.add_argument("--dir", help="the lab's directory (default: $SV2M_LAB_DIR, else /var/tmp/sv2m-lab)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start both clouds; says so when they run already")
    commands.add_parser(
        "demo", help="start both clouds, migrate a server from A to B, show that it continued"
    )
    commands.add_parser("status", help="print a table of every service; exit status 0 only if all are up")
    commands.add_parser("down", help="end every process; namespaces, mounts and interfaces go with them")
    logs = commands.add_parser("logs", help="print where a service's log is, or follow it")
    logs.add_argument("cloud", choices=["a", "b", "ttp"])
    logs.add_argument("service")
    logs.add_argument("-f", "--follow", action="store_true")
    execute = commands.add_parser("exec", help="run a command inside a cloud, with a user's OS_* variables")
    execute.add_argument("cloud", choices=["a", "b"])
    execute.add_argument(
        "--as", dest="user", default="admin", help="admin, alice, bob, carol, mona or a service's user"
    )
    execute.add_argument("--project", help="project to act in, if not the user's own")
    execute.usage = "python -m lab exec [--as USER] [--project PROJECT] {a,b} -- command ..."
    guest = commands.add_parser("image", help="put another guest's image into a cloud")
    guest.add_argument("cloud", choices=["a", "b"])
    guest.add_argument("name")
    guest.add_argument(
        "--fill-memory", type=int, default=0, metavar="MiB", help="memory filled with random data"
    )
    guest.add_argument("--fill-disk", type=int, default=0, metavar="MiB", help="disk filled with random data")
    guest.add_argument(
        "--sum-every", type=int, default=20, metavar="SECONDS", help="pause between sums; 0: once"
    )
    ttp.add_arguments(commands.add_parser("ttp", help="what the trusted third party's administrator does"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    options = _parser().parse_args(given[:cut])
    lab = Lab.load(options.dir)
    try:
        match options.command:
            case "up":
                return _up(lab)
            case "demo":
                return demo.run(lab)
            case "down":
                return _down(lab)
            case "status":
                print(status.table(lab))
                return 0 if is_up(lab) else 1
            case "logs":
                return _logs(lab, options.cloud, options.service, options.follow)
            case "image":
                return _image(lab, options)
            case "ttp":
                return ttp.run(lab, options)
            case _:
                return _execute(lab, options, given[cut + 1 :])
    except KeyboardInterrupt:
        print("interrupted; `python -m lab down` ends what was started", file=sys.stderr)
        return 130
    except (NotRunningError, CommandFailedError) as error:
        print(error, file=sys.stderr)
        return 1


def _up(lab: Lab) -> int:
    if os.geteuid() != 0:
        print("the lab makes namespaces and must be started by root", file=sys.stderr)
        return 1
    try:
        up(lab, Progress())
    except StepFailedError as error:
        print(
            f"the lab did not start: {error}\n"
            "see `python -m lab status`; end what runs with `python -m lab down`",
            file=sys.stderr,
        )
        return 1
    return 0


def _down(lab: Lab) -> int:
    progress = Progress()
    with exclusive(lab):
        progress.say(f"ended {stop_all(lab)} processes")
        (lab.directory / "up").unlink(missing_ok=True)
        if found := leftovers(lab):
            print("still there:", *found, sep="\n  ", file=sys.stderr)
            return 1
    progress.say(f"no process, mount, namespace or interface is left; logs stay in {lab.directory}")
    return 0


def _logs(lab: Lab, cloud: str, service: str, follow: bool) -> int:
    for row in status.rows(lab):
        if (row.room, row.service) == (cloud, service):
            if follow:
                return subprocess.run(["tail", "-n", "50", "-F", str(row.logs)], check=False).returncode
            print(row.logs)
            return 0
    print(f"cloud {cloud} has no service {service}; see `python -m lab status`", file=sys.stderr)
    return 1


def _image(lab: Lab, options: argparse.Namespace) -> int:
    sizes = (options.fill_memory, options.fill_disk, options.sum_every)
    file = lab.cache / f"guest-{'-'.join(map(str, sizes))}-{image.default_image(lab).name}"
    image.build(lab, file, *sizes)
    with in_network(lab.cloud(options.cloud)):
        print(add_image(lab.cloud(options.cloud), options.name, Path(file), {"hw_rng_model": "virtio"}))
    return 0


def _execute(lab: Lab, options: argparse.Namespace, command: list[str]) -> int:
    cloud = lab.cloud(options.cloud)
    environment = user_environment(cloud, options.user, options.project)
    for name in ("TERM", "COLUMNS"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return subprocess.run(inside(cloud, command or ["bash"]), env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
