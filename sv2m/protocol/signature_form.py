# SPDX-License-Identifier: Apache-2.0
"""The exact shape of a ds:Signature of ours, rebuilt from the few values in it that may differ, and compared.

A signature has three free values per kind: the digests of its references, the signature value, and the
certificate. Everything else (algorithms, transforms, their order, Ids, KeyInfo) is written here and compared
byte for byte, so that no other algorithm, transform, InclusiveNamespaces, KeyValue, second reference or
ds:Object gets past, whatever a verifier might make of it.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from cryptography import x509
from lxml import etree
from signxml.algorithms import SignatureMethod

from sv2m import errors
from sv2m.protocol import signing_key
from sv2m.protocol.wire.element import Element
from sv2m.protocol.wire.encrypted import ENVELOPED_URI, EXCLUSIVE_C14N_URI, SHA384_URI

#: A 48-byte digest has exactly 64 characters of base64.
_DIGEST = re.compile(rb"<ds:DigestValue>([A-Za-z0-9+/]{64})</ds:DigestValue>")
_VALUE = re.compile(rb"<ds:SignatureValue>([A-Za-z0-9+/]{1,1400}={0,2})</ds:SignatureValue>")
_CERTIFICATE = re.compile(rb"<ds:X509Certificate>([A-Za-z0-9+/]{1,6000}={0,2})</ds:X509Certificate>")


@dataclass(frozen=True)
class ReferenceForm:
    """One ds:Reference: its URI and the transforms before the digest."""

    uri: str
    transforms: tuple[str, ...]


#: A message: all of the document but the signature itself.
ENVELOPED: Final = ReferenceForm("", (ENVELOPED_URI, EXCLUSIVE_C14N_URI))


@dataclass(frozen=True)
class SignatureForm:
    """A ds:Signature as it came (canonical bytes, without its ds:Objects) and what it must be equal to."""

    actual: bytes
    method: SignatureMethod
    references: tuple[ReferenceForm, ...]

    def check(self, certificate_der: bytes) -> None:
        """Steps 8 and 9 of signature.py.

        :raises InvalidSignature: another certificate than the pinned one, or any deviation from the form.
        """
        carried = _CERTIFICATE.search(self.actual)
        if carried is None or not compare_digest(carried[1], b64encode(certificate_der)):
            raise errors.InvalidSignature("the signature carries another certificate than its sender's")
        digests = _DIGEST.findall(self.actual)
        value = _VALUE.search(self.actual)
        if value is None or len(digests) != len(self.references):
            raise errors.InvalidSignature("the signature has other references than it must have")
        if not _is_the_one_spelling(self.method, value[1]):
            raise errors.InvalidSignature("the signature's value is written in another way than the protocol's")
        expected = _render(
            self.method.value,
            self.references,
            [item.decode() for item in digests],
            value[1].decode(),
            b64encode(certificate_der).decode(),
        )
        if expected != self.actual:
            raise errors.InvalidSignature("the signature uses something other than what the protocol fixes")


def _is_the_one_spelling(method: SignatureMethod, text: bytes) -> bool:
    """Nobody may turn a signed document into another one that verifies as well; see signing_key.is_unique()."""
    try:
        value = b64decode(text, validate=True)
    except ValueError:
        return False
    # The last character of base64 may have bits that no byte has: then several texts are one value.
    return b64encode(value) == text and signing_key.is_unique(method, value)


def read_form(
    actual: bytes, certificate: x509.Certificate, references: tuple[ReferenceForm, ...]
) -> SignatureForm:
    """The form that a signature by this certificate must have."""
    return SignatureForm(actual, signing_key.method_of(certificate), references)


def pattern(references: Sequence[ReferenceForm]) -> str:
    """The same form as a POSIX extended regular expression, without ^ and $: for whoever has grep and not this code.

    It leaves open which of the two algorithms it is, and what the free values say.
    """
    methods = "|".join(method.value for method in signing_key.METHODS)
    digests = ["[A-Za-z0-9+/]{64}"] * len(references)
    base64 = "[A-Za-z0-9+/]+={0,2}"
    # Nothing else in it means anything to grep but the dots of the algorithms' names.
    return _render(f"({methods})", references, digests, base64, base64).decode().replace(".", "[.]")


def x509_key_info(leaf: bytes) -> etree._Element:
    """ds:KeyInfo with the one certificate, as signxml puts it into the signature."""
    return etree.fromstring(_key_info(b64encode(leaf).decode()).render())


def _key_info(certificate_text: str) -> Element:
    certificate = Element("ds:X509Certificate", text=certificate_text)
    return Element("ds:KeyInfo", children=[Element("ds:X509Data", children=[certificate])])


def _render(
    method: str, references: Sequence[ReferenceForm], digests: Sequence[str], value: str, certificate: str
) -> bytes:
    signed_info = Element(
        "ds:SignedInfo",
        children=[
            Element("ds:CanonicalizationMethod", {"Algorithm": EXCLUSIVE_C14N_URI}),
            Element("ds:SignatureMethod", {"Algorithm": method}),
            *(_reference(form, digest) for form, digest in zip(references, digests, strict=True)),
        ],
    )
    signature_value = Element("ds:SignatureValue", text=value)
    return Element("ds:Signature", children=[signed_info, signature_value, _key_info(certificate)]).render()


def _reference(form: ReferenceForm, digest: str) -> Element:
    transforms = [Element("ds:Transform", {"Algorithm": algorithm}) for algorithm in form.transforms]
    return Element(
        "ds:Reference",
        {"URI": form.uri},
        children=[
            Element("ds:Transforms", children=transforms),
            Element("ds:DigestMethod", {"Algorithm": SHA384_URI}),
            Element("ds:DigestValue", text=digest),
        ],
    )
