# SPDX-License-Identifier: Apache-2.0
"""``sv2m-manage``: chores of whoever operates SV2M.

``db sync`` brings the schema up to date, ``db version`` says what it is; ``certificate`` deals with this
cloud's evidence certificate (:mod:`sv2m.cmm.commands`); ``audit`` and ``evidence`` deal with what proves its
migrations (:mod:`sv2m.api.evidence_commands`).

Every sub-command is an argparse parser whose ``func`` default is called with the configuration; what it
returns is the exit status (None: 0).
"""

from __future__ import annotations

import sys
from typing import Any

from oslo_config import cfg
from oslo_log import log

from sv2m import conf as sv2m_conf
from sv2m.api import evidence_commands
from sv2m.cmd import program
from sv2m.cmd.certificates import enrolment
from sv2m.cmm import commands
from sv2m.db import engine, sync


def db_sync(conf: cfg.ConfigOpts) -> int:
    """Bring the schema to the newest version; an up-to-date one is left as it is."""
    before = sync.version(engine.current())
    sync.upgrade(engine.current())
    print(f"schema: {before or 'empty'} -> {sync.version(engine.current())}")
    return 0


def db_version(conf: cfg.ConfigOpts) -> int:
    """Say the schema's version. The exit status is 1 when this code knows a newer one."""
    version = sync.version(engine.current())
    print(version or "empty")
    return 0 if version == sync.head() else 1


def _add_parsers(subparsers: Any) -> None:
    database = subparsers.add_parser("db", help="The database's schema.").add_subparsers(dest="action")
    database.required = True
    database.add_parser("sync", help="Bring it up to date.").set_defaults(func=db_sync)
    database.add_parser("version", help="Say which it is.").set_defaults(func=db_version)
    commands.add_parsers(subparsers, enrolment)
    evidence_commands.add_parsers(subparsers)


@program.told
def main(argv: list[str] | None = None) -> int:
    """Run one sub-command.

    :param argv: the arguments without the program's name; None takes those of the process.
    :returns: the exit status.
    """
    conf = sv2m_conf.register()
    option = cfg.SubCommandOpt("command", title="Commands", help="What to do.", handler=_add_parsers)
    conf.register_cli_opt(option)
    log.register_options(conf)
    # What a command prints is for scripts; what it logs goes elsewhere.
    conf.set_default("use_stderr", True)
    try:
        program.configure(argv)
        program.require(conf, "database.connection")
        engine.start(conf)
        return int(conf.command.func(conf) or 0)
    finally:
        # So that main may be called again in the same process.
        conf.reset()
        conf.unregister_opt(option)


if __name__ == "__main__":
    sys.exit(main())
