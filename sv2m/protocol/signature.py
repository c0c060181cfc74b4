# SPDX-License-Identifier: Apache-2.0
"""XML signatures: one way to make them, one hardened way to verify them.

A signed message is the unsigned one with a ds:Signature as the root's last child: enveloped, exclusive C14N,
SHA-384, by the key of the certificate that stands in ds:X509Data. Its *digest*, by which later messages name
it, is SHA-384 over the exclusive canonical form of the whole signed document; because documents are canonical
on the wire, that is simply SHA-384 of its bytes, and a third party computes it with ``sha384sum``.

Verification, step by step (protocol.md, "The trailer's signature" and "What it answers"):

 1. size, before anything else is looked at                                    (wire/document.py) 2. the fixed
 first bytes: our root, our version, a known kind                 (wire/document.py) 3. no DTD, comment, CDATA
 or processing instruction                           (wire/document.py) 4. a parser without network, entities
 and huge trees                          (wire/document.py) 5. canonical form, so that there is one reading of
 these bytes                (wire/document.py) 6. the root's kind is the one that the caller expects 7.
 exactly one ds:Signature in the document, as the root's last child 8. the certificate in it is, byte for
 byte, the one that the caller has validated 9. the signature is, byte for byte, one that we could have
 written: algorithms, transforms, references, KeyInfo 10. signxml verifies it with that certificate, location
 "./", exactly one reference, that one algorithm 11. only what signxml returns as signed is handed on, and it
 is the document less its signature

Of a document larger than the small ones (a Transfer) the signature is verified over its bytes before step 3, too.
Steps 9 and 10 overlap on purpose: 9 does not depend on signxml, 10 not on our own comparison.
Whether the certificate is to be believed (path, name, use, validity, revocation) is CMM's to say, before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha384

from cryptography import x509
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from sv2m import errors
from sv2m.protocol import signed_bytes, signing_key
from sv2m.protocol.declaration import STATEMENTS
from sv2m.protocol.signature_form import ENVELOPED, SignatureForm, read_form, x509_key_info
from sv2m.protocol.trailer_signature import sign_manifest, verify_manifest
from sv2m.protocol.wire import decode, decode_declaration
from sv2m.protocol.wire import document as documents
from sv2m.protocol.wire.element import local

__all__ = ["Verified", "sign", "sign_manifest", "verify", "verify_manifest"]

_SIGNATURE = local("ds:Signature")


@dataclass(frozen=True)
class Verified:
    """What a signature covers.

    :param message_document: the unsigned document, canonical; give it to wire.decode().
    :param digest: SHA-384 over the exclusive canonical form of the whole signed document.
    """

    message_document: bytes
    digest: bytes


def digest(document: bytes) -> bytes:
    """SHA-384 over the exclusive canonical form of a signed document, which is the document as it travels."""
    return sha384(document).digest()


def sign(document: bytes, private_key_pem: bytes, chain: Sequence[bytes]) -> bytes:
    """Sign a message.

    :param document: unsigned, from wire.encode().
    :param private_key_pem: PKCS #8, not encrypted.
    :param chain: DER certificates, leaf first; the leaf goes into the signature.
    :returns: the signed document. With a P-384 key the same document always gives the same bytes.
    :raises ConfigurationError: the key does not belong to the leaf.
    :raises MalformedMessage: the document is none of ours, or signed already.
    """
    signer = signing_key.load_signer(private_key_pem, chain)
    # What no reader would accept is not signed, whoever asks for it.
    (decode_declaration if documents.peek(document).kind in STATEMENTS else decode)(document)
    root = documents.parse(document)
    if root.find(f".//{_SIGNATURE}") is not None:
        raise errors.MalformedMessage("the document is signed already")
    signed = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=signer.method,
        digest_algorithm=DigestAlgorithm.SHA384,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    ).sign(root, key=signer.key, key_info=x509_key_info(signer.leaf))
    return documents.canonical_bytes(signed)


def verify(document: bytes, kind: str, certificate_der: bytes) -> Verified:
    """Verify a signed message. The numbers are those of this file's head.

    :param kind: the message that is expected, such as Offer. A signature on another kind is none.
    :param certificate_der: the sender's leaf, validated by the caller.
    :raises MalformedMessage: steps 1 to 5.
    :raises InvalidSignature: steps 6 to 11.
    :raises InvalidCertificate: the pinned certificate is none with which messages may be signed.
    """
    certificate = signing_key.load_certificate(certificate_der)
    if len(document) > documents.MAX_SMALL and documents.peek(document):  # 1, 2
        # Steps 3 to 5 make objects of all that stands in it; nobody but the sender may make us do that.
        signed_bytes.check(document, certificate)
    root = documents.parse(document)  # 1 to 5
    if root.tag != local(f"sv2m:{kind}"):  # 6
        raise errors.InvalidSignature(f"the document is not the {kind} that was expected")
    signatures = list(root.iter(_SIGNATURE))
    if len(signatures) != 1 or root[-1] is not signatures[0]:  # 7
        raise errors.InvalidSignature(f"the {kind} does not end with its one signature")
    form = read_form(documents.canonical_bytes(signatures[0]), certificate, (ENVELOPED,))
    form.check(certificate_der)  # 8, 9
    signed = _run_signxml(document, certificate, form)  # 10
    root.remove(signatures[0])  # 11
    if signed != documents.canonical_bytes(root):
        raise errors.InvalidSignature(f"the signature does not cover the whole {kind}")
    return Verified(signed, digest(document))


def _run_signxml(document: bytes, certificate: x509.Certificate, form: SignatureForm) -> bytes:
    config = SignatureConfiguration(
        require_x509=True,
        location="./",
        expect_references=1,
        signature_methods=frozenset({form.method}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA384}),
        # Validity is judged by CMM, which has a clock; evidence is verified years after the certificate's
        # end.
        verification_time=certificate.not_valid_before_utc,
    )
    try:
        result = XMLVerifier().verify(
            document, x509_cert=certificate, expect_config=config, parser=documents.parser()
        )
    except (SignXMLException, etree.LxmlError, ValueError) as error:
        raise errors.InvalidSignature("the signature does not verify") from error
    if not isinstance(result, VerifyResult):
        raise errors.InvalidSignature("the signature does not have exactly one reference")
    return result.signed_data
