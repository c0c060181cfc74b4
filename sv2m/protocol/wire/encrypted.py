# SPDX-License-Identifier: Apache-2.0
"""The elements of XML Encryption 1.1 that messages carry: EncryptedKey, and EncryptedData by reference and by
value.

The algorithms are written and never read: there is one of each, so there is nothing to choose and nothing to
downgrade. Because decode() accepts a message only if it equals its own re-encoding, a message with CBC, PKCS
#1 v1.5, another digest, another label or another URI is not the message that we would write, and is refused.
References are names for the reader of the evidence. Nothing in SV2M ever dereferences one.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Iterable

from lxml import etree

from sv2m.protocol.plan import StreamSummary, WrappedKey
from sv2m.protocol.wire.codecs import Binary, Integer, Struct, Text, base64
from sv2m.protocol.wire.element import DS, XENC, XENC11, Element, Verbatim, local

_GCM = f"{XENC11}aes256-gcm"
_OAEP = f"{XENC11}rsa-oaep"
_SHA256 = f"{XENC}sha256"
_MGF1_SHA256 = f"{XENC11}mgf1sha256"
#: Where the evidence keeps the Envelope, and in it the EncryptedKey of the VMK.
_VMK_URI = "envelope.xml#VMK"
#: What one segment's EncryptedData always begins with, to tell it from other elements while counting.
ENCRYPTED_DATA = local("xenc:EncryptedData")


class EncryptedKeys:
    """WrappedKey as sv2m:Key with its facts and an xenc:EncryptedKey.

    The OAEP label and the recipient belong to the session, not to the key: the Envelope's shape gives them.
    """

    def __init__(self, recipient: str, label: bytes) -> None:
        self._recipient = recipient
        self._label = label

    def write(self, tag: str, key: WrappedKey) -> Element:
        """See Codec."""
        return Element(tag, children=[*_KEY_FACTS.write_fields(key), self._encrypted_key(key)])

    def read(self, element: etree._Element) -> WrappedKey:
        """See Codec."""
        *facts, encrypted = list(element)
        value = encrypted.find(f"{local('xenc:CipherData')}/{local('xenc:CipherValue')}")
        if value is None:
            raise ValueError("an EncryptedKey has no CipherValue")
        cipher_value = a2b_base64(value.text or "", strict_mode=True)
        return WrappedKey(cipher_value=cipher_value, **_KEY_FACTS.read_fields(facts))

    def _encrypted_key(self, key: WrappedKey) -> Element:
        method = Element(
            "xenc:EncryptionMethod",
            {"Algorithm": _OAEP},
            children=[
                Element("xenc:OAEPparams", text=base64(self._label)),
                Element("ds:DigestMethod", {"Algorithm": _SHA256}),
                Element("xenc11:MGF", {"Algorithm": _MGF1_SHA256}),
            ],
        )
        return Element(
            "xenc:EncryptedKey",
            {"Id": key.name, "Recipient": self._recipient},
            children=[
                method,
                Element("ds:KeyInfo", children=[Element("ds:KeyName", text="ekB")]),
                Element(
                    "xenc:CipherData", children=[Element("xenc:CipherValue", text=base64(key.cipher_value))]
                ),
                Element("xenc:CarriedKeyName", text=key.name),
            ],
        )


_KEY_FACTS = Struct(WrappedKey, {"name": Text(), "kind": Text(), "size": Integer(), "commitment": Binary()})


def _encrypted_data(attributes: dict[str, str], cipher_data: Element) -> Element:
    retrieval = {"Type": f"{XENC}EncryptedKey", "URI": _VMK_URI}
    return Element(
        "xenc:EncryptedData",
        attributes,
        children=[
            Element("xenc:EncryptionMethod", {"Algorithm": _GCM}),
            Element(
                "ds:KeyInfo",
                children=[Element("ds:KeyName", text="VMK"), Element("ds:RetrievalMethod", retrieval)],
            ),
            Element("xenc:CipherData", children=[cipher_data]),
        ],
    )


def segment_uri(stream: int | str, index: int | str) -> str:
    """What a segment's file is called, relative to the Transfer document: stream/index.seg."""
    return f"{stream}/{index}.seg"


def segments(streams: Iterable[StreamSummary]) -> Verbatim:
    """The EncryptedData of every segment, stream by stream, index by index.
    They differ in two numbers only, so one is rendered and the numbers are put in; there may be 32,768.
    """
    pattern = _encrypted_data(
        {"Id": "s@stream@-@index@"},
        Element("xenc:CipherReference", {"URI": segment_uri("@stream@", "@index@")}),
    )
    parts = pattern.render(frozenset({"sv2m"})).decode()
    chunks: list[str] = []
    for stream in streams:
        of_stream = parts.replace("@stream@", str(stream.id))
        chunks.extend(of_stream.replace("@index@", str(index)) for index in range(stream.segments))
    return Verbatim("".join(chunks))


def sealed_signature(sealed: bytes) -> Element:
    """The trailer's ds:Signature, encrypted as an element (XML Encryption section 3.1, Type=Element)."""
    return _encrypted_data(
        {"Id": "signature", "Type": f"{XENC}Element"}, Element("xenc:CipherValue", text=base64(sealed))
    )


def read_sealed_signature(element: etree._Element) -> bytes:
    """The bytes of sealed_signature().

    :raises ValueError: there is no CipherValue.
    """
    value = element.find(f"{local('xenc:CipherData')}/{local('xenc:CipherValue')}")
    if value is None:
        raise ValueError("the sealed signature has no CipherValue")
    return a2b_base64(value.text or "", strict_mode=True)


#: Reference algorithms of XML Signature that manifests and signatures name as well.
SHA256_URI = _SHA256
SHA384_URI = "http://www.w3.org/2001/04/xmldsig-more#sha384"
EXCLUSIVE_C14N_URI = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED_URI = f"{DS}enveloped-signature"
