# SPDX-License-Identifier: Apache-2.0
"""What every long-running program does the same way: configuration, logging, and a clean start and stop."""

from __future__ import annotations

import functools
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol

from oslo_config import cfg
from oslo_log import log
from oslo_service import service

from sv2m import conf as sv2m_conf
from sv2m import errors, rpc
from sv2m.cmd import core_files
from sv2m.db import engine as database
from sv2m.policies.enforcer import Enforcer
from sv2m.version import version

P = ParamSpec("P")
#: Between quotes, in a message of oslo.config.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

#: Libraries whose talk an operator would have to read past: Barbican's client names each secret that it looks at.
_QUIET = ("amqp=WARN", "oslo_messaging=INFO", "barbicanclient=WARN")


class Part(Protocol):
    """Something with a beginning and an end."""

    def start(self) -> None:
        """Open connections, begin to answer."""
        ...

    def stop(self) -> None:
        """Finish what is being answered, close connections."""
        ...


def configure(argv: Sequence[str] | None = None, log_file: str | None = None) -> cfg.ConfigOpts:
    """Read the configuration files and the command line, and set up logging.

    From then on there is no core file of this process: what it reads here is the first of its secrets.

    :param argv: the arguments without the program's name; None takes those of the process.
    :param log_file: in ``log_dir``, where the configuration names none; None: the program's own name with ``.log``.
    :raises ConfigurationError: a file is missing or cannot be read, or a value of ours is not valid.
    """
    core_files.forbid()
    conf = sv2m_conf.register()
    database.register_opts(conf)
    log.register_options(conf)
    log.set_defaults(default_log_levels=[*log.get_default_log_levels(), *_QUIET])
    try:
        conf(sys.argv[1:] if argv is None else list(argv), project="sv2m", version=version())
        if log_file is not None and conf.log_dir:
            conf.set_default("log_file", log_file)
        log.setup(conf, "sv2m")
        _read_all(conf)
    except cfg.Error as error:
        raise errors.ConfigurationError(_told(error)) from None
    except UnicodeDecodeError as error:
        raise errors.ConfigurationError(
            f"a configuration file is not UTF-8: byte {error.object[error.start]:#04x} at position {error.start}"
        ) from error
    return conf


def _told(error: cfg.Error) -> str:
    """oslo.config's words, without what it quotes where that is long: a line of a file may be a line of a key."""
    return _QUOTED.sub(lambda found: errors.shown(found[0]), " ".join(str(error).split()))


def _read_all(conf: cfg.ConfigOpts) -> None:
    """Look at every value once: oslo.config converts a value when it is read, and a worker may read it at night."""
    for group, options in sv2m_conf.list_opts():
        for option in options:
            _ = conf[option.dest] if group == "DEFAULT" else conf[group][option.dest]


def told(main: Callable[P, int]) -> Callable[P, int]:
    """For a program's ``main``: what keeps it from running is one line that says what to do, and exit status 1."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except errors.SV2MError as error:
            print(f"{os.path.basename(sys.argv[0])}: {error} ({error.code}). {error.remedy}", file=sys.stderr)
            return 1

    return run


def require(conf: cfg.ConfigOpts, *options: str) -> None:
    """Refuse to start without these options.

    :param options: ``name`` or ``group.name``.
    :raises ConfigurationError: naming every one that is missing.
    """
    missing = []
    for option in options:
        value: Any = conf
        for part in option.split("."):
            value = value[part]
        if value in (None, ""):
            missing.append(option)
    if missing:
        raise errors.ConfigurationError("not set in the configuration: " + ", ".join(missing))


def check_listener(address: str, port: int, certificate_file: str | None, private_key_file: str | None) -> None:
    """Whether a server could begin to listen: asked before the workers are started, which are started again for ever.

    :raises ConfigurationError: the address is taken or not ours, or the certificate cannot be used.
    """
    try:
        socket.create_server((address, port), family=socket.getaddrinfo(address, port)[0][0]).close()
    except OSError as error:
        raise errors.ConfigurationError(f"cannot listen on {address} port {port}: {error}") from error
    if certificate_file:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, private_key_file)
        except (OSError, ssl.SSLError) as error:
            raise errors.ConfigurationError(
                f"the certificate {certificate_file} with the key {private_key_file or certificate_file} "
                f"cannot be used: {error}"
            ) from error


def check_backends(conf: cfg.ConfigOpts, *, database_too: bool) -> None:
    """Whether broker, and database, can be what the configuration names. They may be away, and come back.

    :raises ConfigurationError: one cannot: a worker would end, and be started again for ever.
    """
    rpc.transport(conf).cleanup()
    if database_too:
        database.check(conf)


def check_policy(conf: cfg.ConfigOpts) -> None:
    """Whether the policy file can be read: asked before the workers are started.

    :raises ConfigurationError: it cannot.
    """
    try:
        Enforcer(conf).start()
    # oslo.policy raises errors of its own, of YAML and of the file system.
    except Exception as error:
        raise errors.ConfigurationError(f"the policy file cannot be read: {' '.join(str(error).split())}") from error


class Program(service.ServiceBase):
    """Runs parts under oslo.service: started in order, stopped in the opposite one."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)

    def start(self) -> None:
        """Start every part."""
        for part in self._parts:
            part.start()

    def stop(self) -> None:
        """Stop every part."""
        for part in reversed(self._parts):
            part.stop()

    def wait(self) -> None:
        """Nothing is left to wait for: ``stop`` returns when all has stopped."""

    def reset(self) -> None:
        """SIGHUP: oslo.service reads the configuration anew; only options of logging change at run time."""


def run(
    conf: cfg.ConfigOpts, parts: Sequence[Part], required: Sequence[str] = (), check: Callable[[], None] | None = None
) -> int:
    """Run until told to stop.

    :param required: options without which it does not start, see :func:`require`.
    :param check: raises ConfigurationError when a part could not start.
    :returns: the exit status of the process.
    :raises ConfigurationError: it cannot start.
    """
    require(conf, *required)
    check_backends(conf, database_too="database.connection" in required)
    if check is not None:
        check()
    service.launch(conf, Program(parts), workers=1, restart_method="mutate").wait()
    return 0
