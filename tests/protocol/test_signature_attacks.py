# SPDX-License-Identifier: Apache-2.0
"""What somebody between the clouds, or a hostile peer, does to a signed message, and what becomes of it.

Every attack starts from a good signature of cloud A. The wrapping attacks are numbered as in "On Breaking
SAML: Be Whoever You Want to Be" (USENIX Security 2012). Where our canonical form would already end an attack,
it is played in canonical form, so that the check that it is meant for has to find it.
"""

from __future__ import annotations

import base64
import copy
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_der_x509_certificate
from lxml import etree
from signxml import XMLSigner
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import signature as signatures
from sv2m.protocol import signing_key
from sv2m.protocol.wire import document as documents
from tests.protocol import certificates
from tests.protocol.clouds import Pair, offer

DS = "{http://www.w3.org/2000/09/xmldsig#}"
SV2M = "{urn:sv2m:1}"
A = certificates.identity("cloud-a.sv2m")
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"


@pytest.fixture(scope="module")
def good() -> bytes:
    return p.sign(p.encode(offer(A, "cloud-b.sv2m")), A.key, A.chain)


def canonical(root: etree._Element) -> bytes:
    return etree.tostring(root, method="c14n", exclusive=True)


def refused(document: bytes, kind: str = "Offer") -> errors.PeerError:
    """It must fail, with one of the two errors that say why; and nobody may have taken anything from it."""
    with pytest.raises((errors.InvalidSignature, errors.MalformedMessage)) as caught:
        p.verify(document, kind, A.leaf)
    return caught.value


@pytest.fixture
def any_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if documents could have names that no message has: what else is in an attacker's way?"""
    monkeypatch.setattr(documents, "check_names", lambda document: None)


def forged(root: etree._Element) -> etree._Element:
    """What the attacker would like to say: ten times the memory, for a later generation."""
    evil = copy.deepcopy(root)
    for found in evil.findall(f"{DS}Signature"):
        evil.remove(found)
    evil.find(f"{SV2M}Needs/{SV2M}MemoryMb").text = "1280"
    evil.find(f"{SV2M}Generation").text = "99"
    return evil


def test_a_good_signature_is_good(good: bytes) -> None:
    verified = p.verify(good, "Offer", A.leaf)
    assert p.decode(verified.message_document) == offer(A, "cloud-b.sv2m")
    assert verified.digest == signatures.digest(good)


def test_rsa_pss_is_good_too() -> None:
    identity = certificates.rsa_identity("cloud-r.sv2m")
    document = p.sign(p.encode(offer(identity, "cloud-b.sv2m")), identity.key, identity.chain)
    assert b"2007/05/xmldsig-more#sha384-rsa-MGF1" in document
    assert p.decode(p.verify(document, "Offer", identity.leaf).message_document).source.name == "cloud-r.sv2m"


def test_signing_twice_gives_the_same_bytes(good: bytes) -> None:
    # So that a step done again after a crash sends the same document, and not "another one of its kind".
    assert p.sign(p.encode(offer(A, "cloud-b.sv2m")), A.key, A.chain) == good


# -- signature wrapping
# -------------------------------------------------------------------------------------------


def xsw1(root: etree._Element) -> etree._Element:
    """A forged root; the signed original inside the signature."""
    evil, signature = forged(root), root.find(f"{DS}Signature")
    original = copy.deepcopy(root)
    original.remove(original.find(f"{DS}Signature"))
    signature.append(original)
    evil.append(signature)
    return evil


def xsw2(root: etree._Element) -> etree._Element:
    """A forged root with the signature detached: signature first, signed original behind it."""
    evil, signature = forged(root), root.find(f"{DS}Signature")
    root.remove(signature)
    evil.append(signature)
    evil.append(root)
    return evil


def xsw3(root: etree._Element) -> etree._Element:
    """The signed original as first child of a forged root, with its signature in it."""
    evil = forged(root)
    evil.insert(0, root)
    return evil


def xsw4(root: etree._Element) -> etree._Element:
    """The signed original as last child of a forged root."""
    evil = forged(root)
    evil.append(root)
    return evil


def xsw5(root: etree._Element) -> etree._Element:
    """The forged message keeps the signature; the original, without it, is appended."""
    original = copy.deepcopy(root)
    original.remove(original.find(f"{DS}Signature"))
    root.find(f"{SV2M}Needs/{SV2M}MemoryMb").text = "1280"
    root.append(original)
    return root


def xsw6(root: etree._Element) -> etree._Element:
    """As 5, but the original goes into the signature."""
    original = copy.deepcopy(root)
    original.remove(original.find(f"{DS}Signature"))
    root.find(f"{SV2M}Needs/{SV2M}MemoryMb").text = "1280"
    root.find(f"{DS}Signature").append(original)
    return root


def xsw7(root: etree._Element) -> etree._Element:
    """The original under an Extensions element, which a lax schema allows to hold anything."""
    evil = forged(root)
    extensions = etree.SubElement(evil, f"{SV2M}Extensions")
    signature = root.find(f"{DS}Signature")
    root.remove(signature)
    extensions.append(root)
    evil.append(signature)
    return evil


def xsw8(root: etree._Element) -> etree._Element:
    """The original in a ds:Object of the signature."""
    evil, signature = forged(root), root.find(f"{DS}Signature")
    root.remove(signature)
    etree.SubElement(signature, f"{DS}Object").append(root)
    evil.append(signature)
    return evil


@pytest.mark.parametrize("attack", [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8])
@pytest.mark.usefixtures("any_names")
def test_signature_wrapping(good: bytes, attack: Callable[[etree._Element], etree._Element]) -> None:
    document = canonical(attack(etree.fromstring(good)))
    assert isinstance(refused(document), errors.InvalidSignature)


@pytest.mark.parametrize("attack", [xsw1, xsw2, xsw6, xsw8])
def test_signature_wrapping_with_a_reference_by_id(
    attack: Callable[[etree._Element], etree._Element],
) -> None:
    """The classic form: the reference names an Id, and the Id is moved. A alone could have signed so; A does
    not.
    """
    root = etree.fromstring(p.encode(offer(A, "cloud-b.sv2m")))
    root.set("Id", "signed")
    signed = _signer().sign(root, key=A.key, cert=[_pem(A.leaf)], reference_uri="#signed")
    document = canonical(attack(signed))
    refused(document)
    # Even where the Id would be allowed, the reference must be to the whole document.
    evil = etree.fromstring(document)
    del evil.attrib["Id"]
    assert isinstance(refused(canonical(evil)), errors.InvalidSignature)


def test_two_signatures(good: bytes) -> None:
    root = etree.fromstring(good)
    root.append(copy.deepcopy(root.find(f"{DS}Signature")))
    assert "one signature" in refused(canonical(root)).message


def test_a_signature_before_the_content(good: bytes) -> None:
    root = etree.fromstring(good)
    root.insert(0, root.find(f"{DS}Signature"))
    assert "one signature" in refused(canonical(root)).message


def test_text_behind_the_signature(good: bytes) -> None:
    root = etree.fromstring(good)
    root.find(f"{DS}Signature").tail = "99"
    refused(canonical(root))
    with pytest.raises(errors.MalformedMessage):
        p.decode(canonical(root))


def test_no_signature_at_all(good: bytes) -> None:
    assert "one signature" in refused(p.encode(offer(A, "cloud-b.sv2m"))).message


@pytest.mark.parametrize("kind", sorted(set(p.KINDS) - {"Offer"}))
def test_one_steps_signature_for_another_step(good: bytes, kind: str) -> None:
    assert "expected" in refused(good, kind).message


def test_every_field_altered(good: bytes) -> None:
    root = etree.fromstring(good)
    leaves = [e for e in root.iter() if not len(e) and not e.tag.startswith(DS)]
    assert len(leaves) > 30
    for number in range(len(leaves)):
        evil = etree.fromstring(good)
        leaf = [e for e in evil.iter() if not len(e) and not e.tag.startswith(DS)][number]
        leaf.text = (leaf.text or "") + "0"
        assert isinstance(refused(canonical(evil)), errors.InvalidSignature), leaf.tag
    for name, value in (("MigrationId", "0" * 8 + root.get("MigrationId")[8:]), ("Version", "2")):
        evil = etree.fromstring(good)
        evil.set(name, value)
        refused(canonical(evil))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"></ds:CanonicalizationMethod>", b"/>"),
        (b"<sv2m:Mode>", b"<sv2m:Mode >"),
        (b'<ds:Reference URI="">', b"<ds:Reference URI=''>"),
        (b"<sv2m:Mode>paused", b"<sv2m:Mode>&#112;aused"),
    ],
)
def test_the_same_document_in_another_spelling(good: bytes, old: bytes, new: bytes) -> None:
    """The signature would still verify; but there must be one spelling, or "the same bytes again" means
    nothing.
    """
    evil = replaced(good, old.decode(), new.decode())
    assert canonical(etree.fromstring(evil)) == good
    assert "canonical form" in refused(evil).message


# -- duplicate Ids, comments
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [".", f"{SV2M}Source", f"{DS}Signature", f"{DS}Signature/{DS}KeyInfo"])
def test_an_id_where_none_belongs(good: bytes, where: str) -> None:
    root = etree.fromstring(good)
    root.find(where).set("Id", "x")
    refused(canonical(root))


def test_a_comment_inside_a_name(good: bytes) -> None:
    """CVE-2018-0489 and its like: canonicalisation drops the comment, a careless reader stops at it."""
    for comment in (b"<!---->", b"<?x y?>"):
        evil = good.replace(b"cloud-b.sv2m", b"cloud-b.sv2m" + comment + b".evil.example")
        assert "declaration, comment" in refused(evil).message
        evil = good.replace(b"cloud-b.sv2m", b"cloud-b" + comment + b".sv2m")
        assert "declaration, comment" in refused(evil).message


def test_a_comment_in_the_digest_value(good: bytes) -> None:
    """CVE-2025-29775 and its like: the digest is read past a comment."""
    start = good.index(b"<ds:DigestValue>") + len(b"<ds:DigestValue>")
    refused(good[:start] + b"<!--" + base64.b64encode(bytes(48)) + b"-->" + good[start:])


# -- algorithms
# ---------------------------------------------------------------------------------------------------


def _signer(**other: object) -> XMLSigner:
    settings = {
        "method": SignatureConstructionMethod.enveloped,
        "signature_algorithm": SignatureMethod.ECDSA_SHA384,
        "digest_algorithm": DigestAlgorithm.SHA384,
        "c14n_algorithm": CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    }
    return XMLSigner(**{**settings, **other})


def _pem(certificate: bytes) -> str:
    return load_der_x509_certificate(certificate).public_bytes(Encoding.PEM).decode()


def signed_otherwise(**other: object) -> bytes:
    """A itself signs, with its true key, but by other algorithms than the protocol's."""
    root = etree.fromstring(p.encode(offer(A, "cloud-b.sv2m")))
    signed = _signer(**other).sign(root, key=A.key, cert=[_pem(A.leaf)])
    return one_line(canonical(signed))


def one_line(document: bytes) -> bytes:
    """signxml breaks certificates into lines and takes either s; without that, only the algorithm differs."""
    root = etree.fromstring(document)
    value = root.find(f"{DS}Signature/{DS}SignatureValue")
    raw = base64.b64decode(value.text)
    s = int.from_bytes(raw[48:])
    value.text = base64.b64encode(raw[:48] + min(s, signing_key.P384_ORDER - s).to_bytes(48)).decode()
    for certificate in root.iter(f"{DS}X509Certificate"):
        certificate.text = certificate.text.replace("\n", "")
    return canonical(root)


def test_the_helper_itself_signs_what_is_accepted(good: bytes) -> None:
    p.verify(signed_otherwise(), "Offer", A.leaf)


@pytest.mark.parametrize(
    "other",
    [
        {"c14n_algorithm": CanonicalizationMethod.CANONICAL_XML_1_0},
        {"c14n_algorithm": CanonicalizationMethod.CANONICAL_XML_1_1},
        {"c14n_algorithm": CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0_WITH_COMMENTS},
        {"signature_algorithm": SignatureMethod.ECDSA_SHA256},
        {"signature_algorithm": SignatureMethod.ECDSA_SHA512},
        {"digest_algorithm": DigestAlgorithm.SHA256},
        {"digest_algorithm": DigestAlgorithm.SHA512},
    ],
    ids=str,
)
def test_other_algorithms_by_the_true_key(other: dict[str, object]) -> None:
    assert isinstance(refused(signed_otherwise(**other)), errors.InvalidSignature)


@pytest.mark.usefixtures("any_names")
def test_inclusive_namespaces() -> None:
    root = etree.fromstring(p.encode(offer(A, "cloud-b.sv2m")))
    signed = _signer().sign(root, key=A.key, cert=[_pem(A.leaf)], inclusive_ns_prefixes=["sv2m"])
    assert isinstance(refused(one_line(canonical(signed))), errors.InvalidSignature)


def replaced(good: bytes, old: str, new: str) -> bytes:
    assert old.encode() in good
    return good.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # HMAC, none and SHA-1 by name; other transforms, and one more.
        (
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            "http://www.w3.org/2001/04/xmldsig-more#hmac-sha384",
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1",
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
        ),
        ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", "urn:none"),
        ("http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2000/09/xmldsig#sha1"),
        ("http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmldsig-more#md5"),
        (
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            "http://www.w3.org/TR/1999/REC-xslt-19991116",
        ),
        (
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            "http://www.w3.org/TR/1999/REC-xpath-19991116",
        ),
        ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/2000/09/xmldsig#base64"),
        ('<ds:Reference URI="">', '<ds:Reference URI="#xpointer(/)">'),
        ('<ds:Reference URI="">', '<ds:Reference URI="file:///etc/passwd">'),
        ('<ds:Reference URI="">', '<ds:Reference URI="http://192.0.2.9/">'),
        ('<ds:Reference URI="">', "<ds:Reference>"),
        (
            "<ds:Transforms>",
            '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"></ds:Transform>',
        ),
    ],
)
def test_other_algorithms_by_name(good: bytes, old: str, new: str) -> None:
    assert isinstance(refused(replaced(good, old, new)), errors.InvalidSignature)


def test_hmac_keyed_with_the_public_key(good: bytes) -> None:
    """The verifier knows the public key; so does everybody."""
    root = etree.fromstring(good)
    info = root.find(f"{DS}Signature/{DS}SignedInfo")
    info.find(f"{DS}SignatureMethod").set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha384")
    public = load_der_x509_certificate(A.leaf).public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        _pem(A.leaf).encode(),
    ):
        value = hmac.digest(secret, canonical(info), "sha384")
        root.find(f"{DS}Signature/{DS}SignatureValue").text = base64.b64encode(value).decode()
        assert isinstance(refused(canonical(root)), errors.InvalidSignature)


def test_two_references(good: bytes) -> None:
    root = etree.fromstring(good)
    info = root.find(f"{DS}Signature/{DS}SignedInfo")
    info.append(copy.deepcopy(info.find(f"{DS}Reference")))
    assert "references" in refused(canonical(root)).message


def twin(document: bytes) -> bytes:
    """The same document with the other of the two values that ECDSA has for it: anybody can make it."""
    root = etree.fromstring(document)
    element = root.find(f"{DS}Signature/{DS}SignatureValue")
    raw = base64.b64decode(element.text)
    s = signing_key.P384_ORDER - int.from_bytes(raw[48:])
    element.text = base64.b64encode(raw[:48] + s.to_bytes(48)).decode()
    return canonical(root)


def test_the_other_value_of_an_ecdsa_signature(good: bytes) -> None:
    """A document that is not its sender's, by its bytes and its digest, and yet rightly signed."""
    assert "another way" in refused(twin(good)).message
    assert twin(twin(good)) == good


@pytest.mark.parametrize("cut", [slice(0, 95), slice(0, 0), slice(1, 96)])
def test_an_ecdsa_signature_of_another_length(good: bytes, cut: slice) -> None:
    root = etree.fromstring(good)
    element = root.find(f"{DS}Signature/{DS}SignatureValue")
    element.text = base64.b64encode(base64.b64decode(element.text)[cut]).decode()
    assert isinstance(refused(canonical(root)), errors.InvalidSignature)


def test_the_same_value_in_another_spelling_of_base64() -> None:
    """512 bytes leave two bits of the last character free."""
    identity = certificates.make("cloud-a.sv2m", rsa.generate_private_key(65537, 4096), certificates.authority())
    document = p.sign(p.encode(offer(identity, "cloud-b.sv2m")), identity.key, identity.chain)
    p.verify(document, "Offer", identity.leaf)
    root = etree.fromstring(document)
    element = root.find(f"{DS}Signature/{DS}SignatureValue")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    *rest, digit, pad = element.text
    assert pad == "="
    element.text = "".join(rest) + last[last.index(digit) + 1] + pad
    with pytest.raises(errors.InvalidSignature, match="another way"):
        p.verify(canonical(root), "Offer", identity.leaf)


# -- keys and certificates
# ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_names")
def test_key_value_instead_of_a_certificate() -> None:
    """CVE-2021-21239: pysaml2 believed any key that came along."""
    stranger = load_pem_private_key(certificates.make("cloud-a.sv2m").key, None)
    root = etree.fromstring(p.encode(offer(A, "cloud-b.sv2m")))
    assert isinstance(refused(canonical(_signer().sign(root, key=stranger))), errors.InvalidSignature)
    both = _signer().sign(root, key=A.key, cert=[_pem(A.leaf)], always_add_key_value=True)
    assert isinstance(refused(one_line(canonical(both))), errors.InvalidSignature)


@pytest.mark.parametrize(
    "stranger",
    [
        certificates.identity("cloud-c.sv2m"),
        certificates.make("cloud-a.sv2m"),
        certificates.make("cloud-a.sv2m", ca=certificates.authority()),
    ],
    ids=["another peer of the same CA", "self-signed in A's name", "A's next certificate"],
)
def test_another_certificate(stranger: certificates.Identity) -> None:
    document = p.sign(p.encode(offer(A, "cloud-b.sv2m")), stranger.key, stranger.chain)
    assert "another certificate" in refused(document).message
    # With A's certificate pasted over the stranger's:
    pasted = replaced(document, base64.b64encode(stranger.leaf).decode(), base64.b64encode(A.leaf).decode())
    assert isinstance(refused(pasted), errors.InvalidSignature)


def test_a_chain_in_the_signature(good: bytes) -> None:
    root = etree.fromstring(good)
    data = root.find(f".//{DS}X509Data")
    etree.SubElement(data, f"{DS}X509Certificate").text = base64.b64encode(A.chain[1]).decode()
    refused(canonical(root))


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-256", "RSA-2048"],
)
def test_weak_keys_neither_sign_nor_verify(key: object, good: bytes) -> None:
    weak = certificates.make("cloud-a.sv2m", key)
    with pytest.raises(errors.InvalidCertificate):
        p.sign(p.encode(offer(A, "cloud-b.sv2m")), weak.key, weak.chain)
    with pytest.raises(errors.InvalidCertificate):
        p.verify(good, "Offer", weak.leaf)


def test_a_key_of_another_certificate_does_not_sign() -> None:
    other = certificates.identity("cloud-b.sv2m")
    with pytest.raises(errors.ConfigurationError):
        p.sign(p.encode(offer(A, "cloud-b.sv2m")), other.key, A.chain)
    with pytest.raises(errors.ConfigurationError) as caught:
        p.sign(p.encode(offer(A, "cloud-b.sv2m")), b"-----BEGIN secret", A.chain)
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None


def test_what_is_signed_already_is_not_signed_again(good: bytes) -> None:
    with pytest.raises(errors.MalformedMessage):
        p.sign(good, A.key, A.chain)


def test_evidence_verifies_after_the_certificate_has_ended() -> None:
    # Whether it was valid then is CMM's to say; here the signature alone is at stake, for years.
    pair = Pair().run()
    for side in (pair.a, pair.b):
        for kind, received in side.transcript.items():
            signer = (
                pair.a
                if kind in ("Offer", "TokenAB", "Envelope", "Transfer", "Release", "Closure")
                else pair.b
            )
            assert p.verify(received.document, kind, signer.identity.leaf).digest == received.digest
