# SPDX-License-Identifier: Apache-2.0
"""``sv2m-manage certificate request | import | show | enrol | renew``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oslo_config import cfg

from sv2m import errors
from sv2m.cmm.enrolment import Enrolment
from sv2m.db import certificates, engine
from sv2m.db.models import Certificate

Build = Callable[[cfg.ConfigOpts], Enrolment]


def add_parsers(subparsers: Any, build: Build) -> None:
    """Add the command.

    :param build: makes the enrolment from the configuration, when a command needs it.
    """
    parser = subparsers.add_parser("certificate", help="This cloud's evidence certificate.")
    actions = parser.add_subparsers(dest="action")
    actions.required = True

    request = actions.add_parser("request", help="Make a key, and print the request that the CA wants.")
    request.add_argument("--out", metavar="FILE", help="Write the request there instead.")
    request.set_defaults(func=lambda conf: _request(build(conf), conf.command.out))

    take = actions.add_parser("import", help="Take the certificate that the CA made for a request.")
    take.add_argument(
        "file", metavar="FILE", help="PEM: the certificate and its CA's, in any order; - is stdin."
    )
    take.set_defaults(func=lambda conf: _import(build(conf), conf.command.file))

    show = actions.add_parser("show", help="Show the certificate in use, and pending requests.")
    show.add_argument("--pem", action="store_true", help="Print the chain in PEM, nothing else.")
    show.set_defaults(func=lambda conf: _show(pem=conf.command.pem))

    enrol = actions.add_parser("enrol", help="Get a certificate by EST (RFC 7030).")
    enrol.add_argument(
        "--if-missing", action="store_true", help="Do nothing when there is a certificate in use."
    )
    enrol.set_defaults(func=lambda conf: _enrol(build(conf), if_missing=conf.command.if_missing))

    renew = actions.add_parser("renew", help="Get the next certificate by EST now, with a new key.")
    renew.set_defaults(func=lambda conf: _report(build(conf).renew()))


def _request(enrolment: Enrolment, out: str | None) -> int:
    csr = enrolment.request().csr_pem or ""
    if out:
        Path(out).write_text(csr)
    else:
        print(csr, end="")
    return 0


def _import(enrolment: Enrolment, file: str) -> int:
    try:
        chain_pem = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise errors.LocalError(f"{errors.shown(file)} cannot be read: {error.strerror}") from error
    return _report(enrolment.import_chain(chain_pem))


def _enrol(enrolment: Enrolment, *, if_missing: bool) -> int:
    with engine.session() as session:
        active = certificates.active(session)
    if if_missing and active is not None:
        return _report(active)
    return _report(enrolment.enrol())


def _show(*, pem: bool) -> int:
    with engine.session() as session:
        active = certificates.active(session)
        pending = certificates.list_all(session, state="pending")
    if pem:
        print(active.chain_pem if active else "", end="")
        return 0 if active else 1
    if active is None:
        print("No certificate is in use.")
    else:
        _report(active)
    for row in pending:
        print(f"pending request {row.id} of {row.at:%Y-%m-%d %H:%M} UTC:\n{row.csr_pem}", end="")
    return 0 if active else 1


def _report(certificate: Certificate) -> int:
    print(
        f"certificate {certificate.serial} of {certificate.name} "
        f"is in use until {certificate.not_after:%Y-%m-%d %H:%M} UTC"
    )
    return 0
