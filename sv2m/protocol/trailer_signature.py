# SPDX-License-Identifier: Apache-2.0
"""The trailer's signature: one ds:Signature over two ds:Objects inside it, the context and the manifest.

The manifest's digests were computed while the segments streamed by, so nothing is hashed twice. signxml signs
the two objects as detached same-document references; they are then placed inside the signature. Verification
goes by the numbered steps of signature.py, with these differences: the root is the ds:Signature, step 7
counts exactly two objects with the Ids "context" and "manifest", and step 10 expects exactly two references.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from sv2m import errors
from sv2m.protocol import signing_key
from sv2m.protocol.messages import MAX_SEALED_SIGNATURE
from sv2m.protocol.signature_form import ReferenceForm, SignatureForm, read_form, x509_key_info
from sv2m.protocol.wire import document as documents
from sv2m.protocol.wire.element import Element, Verbatim, local
from sv2m.protocol.wire.encrypted import EXCLUSIVE_C14N_URI

#: Id of each ds:Object and the element that it holds, in their order.
_OBJECTS: Final = {"context": "sv2m:Binding", "manifest": "ds:Manifest"}
REFERENCES: Final = tuple(ReferenceForm(f"#{name}", (EXCLUSIVE_C14N_URI,)) for name in _OBJECTS)


def sign_manifest(context: bytes, manifest: bytes, private_key_pem: bytes, chain: Sequence[bytes]) -> bytes:
    """Sign a migration's context and manifest.

    :param context: canonical sv2m:Binding (trailer.py).
    :param manifest: canonical ds:Manifest (manifest.py).
    :returns: the canonical ds:Signature, to be sealed under VMK.
    :raises MalformedMessage: either is not what it should be.
    :raises ConfigurationError: the key does not belong to the leaf.
    """
    signer = signing_key.load_signer(private_key_pem, chain)
    objects = []
    for (name, tag), part in zip(_OBJECTS.items(), (context, manifest), strict=True):
        if documents.parse_canonical(part).tag != local(tag):
            raise errors.MalformedMessage(f"the {name} to be signed is not a {tag}")
        objects.append(Element("ds:Object", {"Id": name}, children=[Verbatim(part.decode())]))
    # A root that exists only while signxml resolves the two Ids; it is neither signed nor sent. It declares
    # nothing, so the objects have the same canonical form here and inside the signature.
    holder = etree.fromstring(b"<holder></holder>", documents.parser())
    for item in objects:
        holder.append(etree.fromstring(item.render(), documents.parser()))
    signature = XMLSigner(
        method=SignatureConstructionMethod.detached,
        signature_algorithm=signer.method,
        digest_algorithm=DigestAlgorithm.SHA384,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    ).sign(
        holder,
        key=signer.key,
        key_info=x509_key_info(signer.leaf),
        reference_uri=[reference.uri for reference in REFERENCES],
    )
    for item in list(holder):
        signature.append(item)
    return documents.canonical_bytes(signature)


def verify_manifest(signature: bytes, certificate_der: bytes) -> tuple[bytes, bytes]:
    """Verify the trailer's signature. The numbers are those of signature.py.

    :param certificate_der: the source's leaf, validated by the caller.
    :returns: context and manifest, canonical, as they were signed.
    :raises MalformedMessage: steps 1, 3 to 5.
    :raises InvalidSignature: steps 6 to 11.
    """
    certificate = signing_key.load_certificate(certificate_der)
    if len(signature) > MAX_SEALED_SIGNATURE:  # 1
        raise errors.MalformedMessage(f"the trailer's signature has more than {MAX_SEALED_SIGNATURE} bytes")
    root = documents.parse_canonical(signature)  # 3 to 5
    if root.tag != local("ds:Signature"):  # 6
        raise errors.InvalidSignature("the trailer is not a ds:Signature")
    objects = root.findall(local("ds:Object"))
    if [(dict(item.attrib), [child.tag for child in item]) for item in objects] != [
        ({"Id": name}, [local(tag)]) for name, tag in _OBJECTS.items()
    ] or sum(1 for _ in root.iter(local("ds:Signature"))) != 1:  # 7
        raise errors.InvalidSignature("the trailer's signature does not hold one context and one manifest")
    for item in objects:
        root.remove(item)
    form = read_form(documents.canonical_bytes(root), certificate, REFERENCES)
    form.check(certificate_der)  # 8, 9
    context, manifest = _run_signxml(signature, certificate, form)  # 10, 11
    return context, manifest


def _run_signxml(signature: bytes, certificate: x509.Certificate, form: SignatureForm) -> list[bytes]:
    config = SignatureConfiguration(
        require_x509=True,
        location="./",
        expect_references=len(REFERENCES),
        signature_methods=frozenset({form.method}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA384}),
        verification_time=certificate.not_valid_before_utc,  # as in signature.py
    )
    try:
        results = XMLVerifier().verify(
            signature,
            x509_cert=certificate,
            expect_config=config,
            parser=documents.parser(),
            id_attribute="Id",
        )
    except (SignXMLException, etree.LxmlError, ValueError) as error:
        raise errors.InvalidSignature("the trailer's signature does not verify") from error
    if not isinstance(results, list):
        raise errors.InvalidSignature("the trailer's signature does not have two references")
    return [
        _signed_part(result, name, tag) for result, (name, tag) in zip(results, _OBJECTS.items(), strict=True)
    ]


def _signed_part(result: VerifyResult, name: str, tag: str) -> bytes:
    item = result.signed_xml
    if (
        item is None
        or item.tag != local("ds:Object")
        or item.get("Id") != name
        or [child.tag for child in item] != [local(tag)]
    ):
        raise errors.InvalidSignature(f"the trailer's signature does not cover its {name}")
    return documents.canonical_bytes(item[0])
