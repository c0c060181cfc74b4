# SPDX-License-Identifier: Apache-2.0
"""Blocks of PEM (RFC 7468) in the one form in which evidence has them: every program reads the same things in a file.

OpenSSL's commands take more: several labels for a certificate (``TRUSTED CERTIFICATE`` among them), DER before it,
words between the blocks; one command uses the first block, another one all of them. Whatever differs from this form
may be one thing to the reader and another to the program.
"""

from __future__ import annotations

import re
import textwrap
from base64 import b64decode, b64encode
from collections.abc import Iterable

from sv2m import errors

CERTIFICATE, CRL = "CERTIFICATE", "X509 CRL"


def encode(parts: Iterable[bytes], label: str) -> bytes:
    """The blocks, one after the other, with nothing between them; what ``openssl x509`` writes of each.

    :param parts: DER.
    """
    return b"".join(_block(der, label) for der in parts)


def _block(der: bytes, label: str) -> bytes:
    lines = "\n".join(textwrap.wrap(b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode("ascii")


def decode(data: bytes, label: str) -> list[bytes]:
    """The DER of each block.

    :raises sv2m.errors.InvalidCertificate: the file is not exactly what :func:`encode` writes of them.
    """
    form = f"-----BEGIN {label}-----\n([A-Za-z0-9+/=\n]+)-----END {label}-----\n".encode("ascii")
    try:
        parts = [b64decode(body) for body in re.findall(form, data)]
    except ValueError:
        parts = []
    if not parts or encode(parts, label) != data:
        raise errors.InvalidCertificate(f"it is not PEM with {label} blocks alone, each in its one form")
    return parts
