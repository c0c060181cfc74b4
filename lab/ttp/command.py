# SPDX-License-Identifier: Apache-2.0
"""What the administrator of the trusted third party does: list, revoke, issue (for tests)."""

from __future__ import annotations

import argparse
import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab import pki
from lab.cloud import Lab
from lab.ttp.authority import Authority, Profile, RefusedError

#: Each is a certificate of this CA that a peer must refuse, for one reason only.
WRONG = {
    "expired": Profile(first_day=-90, last_day=-1),
    "future": Profile(first_day=1, last_day=90),
    "wrong-use": Profile(evidence=False),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="print every certificate issued: serial number, name, last day, state")
    revoke = actions.add_parser("revoke", help="put a certificate on the CRL")
    revoke.add_argument("serial", help="hexadecimal")
    issue = actions.add_parser(
        "issue", help="for tests: print a certificate, right or wrong, and its key if it made one"
    )
    issue.add_argument("name", help="the name to certify, such as cloud-a.sv2m")
    issue.add_argument(
        "--key", metavar="FILE", help="PEM file of an EC private key; by default a new one is made"
    )
    issue.add_argument(
        "--wrong", choices=sorted(WRONG), help="what shall be wrong with it; by default nothing"
    )


def run(lab: Lab, options: argparse.Namespace) -> int:
    """Do what the command line says; 1 if the authority refuses."""
    authority = Authority(lab)
    if not authority.anchor.exists():
        print("there is no trusted third party: start the lab first", file=sys.stderr)
        return 1
    try:
        if options.action == "list":
            _list(authority)
        elif options.action == "revoke":
            authority.revoke(int(options.serial, 16))
            print(f"{options.serial} is revoked")
        else:
            _issue(authority, options)
    except (RefusedError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _list(authority: Authority) -> None:
    revoked = authority.revoked()
    for certificate in authority.issued():
        name = str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        state = "revoked" if certificate.serial_number in revoked else "issued"
        print(f"{certificate.serial_number:x}  {name}  {certificate.not_valid_after_utc:%Y-%m-%d}  {state}")


def _issue(authority: Authority, options: argparse.Namespace) -> None:
    if options.key:
        with open(options.key, "rb") as file:
            key = load_pem_private_key(file.read(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{options.key} does not hold an EC key")
    else:
        key = ec.generate_private_key(ec.SECP384R1())
        print(pki.key_pem(key), end="")
    profile = WRONG[options.wrong] if options.wrong else Profile()
    print(pki.certificate_pem(authority.issue(key.public_key(), options.name, profile)), end="")
