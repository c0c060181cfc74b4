# SPDX-License-Identifier: Apache-2.0
"""What the trailer's signature binds the manifest to, the sv2m:Binding in its first ds:Object; and what binds the
trailer's signature itself: its digest in the Transfer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha384
from hmac import compare_digest
from typing import Final

from sv2m import errors
from sv2m.protocol import fields as check
from sv2m.protocol.plan import WrappedKey
from sv2m.protocol.wire.codecs import Binary, Integer, Struct, Text, children
from sv2m.protocol.wire.document import parse_canonical
from sv2m.protocol.wire.element import local

_TAG: Final = "sv2m:Binding"
#: Bytes; seven short fields.
_MAX: Final = 4096


@dataclass(frozen=True)
class Binding:
    """The migration that a manifest belongs to.

    Both clouds' names stand in it (against surreptitious forwarding), the session, the generation of the VM's
    state, the Envelope and the keys (so that no key can be swapped, and origin evidence covers them).

    :param envelope_digest: SHA-384 of the signed Envelope.
    :param keys_digest: see keys_digest().
    """

    migration_id: str
    sid: bytes
    source: str
    destination: str
    generation: int
    envelope_digest: bytes
    keys_digest: bytes

    def __post_init__(self) -> None:
        check.identifier("Binding.migration_id", self.migration_id)
        check.octets("Binding.sid", self.sid, check.SHA384_BYTES)
        check.name("Binding.source", self.source)
        check.name("Binding.destination", self.destination)
        check.whole("Binding.generation", self.generation, 1, (1 << 63) - 1)
        check.octets("Binding.envelope_digest", self.envelope_digest, check.SHA384_BYTES)
        check.octets("Binding.keys_digest", self.keys_digest, check.SHA384_BYTES)


_SHAPE: Final = Struct(
    Binding,
    {
        "migration_id": Text(),
        "sid": Binary(),
        "source": Text(),
        "destination": Text(),
        "generation": Integer(),
        "envelope_digest": Binary(),
        "keys_digest": Binary(),
    },
)


def keys_digest(keys: Iterable[WrappedKey]) -> bytes:
    """A digest over VMK and EIKs, by way of their commitments: SHA-384 over each name and commitment, in
    order.

    Each commitment is a digest of its key, so this binds the keys; and whoever checks evidence can compute it
    from the Envelope without any key.
    """
    return sha384(b"".join(key.name.encode() + b"\0" + key.commitment for key in keys)).digest()


def trailer_digest(signature: bytes) -> bytes:
    """The digest by which the Transfer names the trailer's signature: SHA-384 of its canonical octets, as sealed."""
    return sha384(signature).digest()


def check_named(signature: bytes, named: bytes) -> None:
    """Whether a trailer's signature is the one that a Transfer names.

    Without this A could sign another manifest of the same session afterwards, and say of B's Receipt that it is about
    that one: the seal cannot be opened any more when VMK is destroyed.

    :param named: Transfer.trailer_digest.
    :raises IntegrityError: it is another one.
    """
    if not compare_digest(trailer_digest(signature), named):
        raise errors.IntegrityError("the trailer's signature is not the one that the Transfer names")


def trailer_context(binding: Binding) -> bytes:
    """The canonical sv2m:Binding; the context that sign_manifest() signs."""
    return _SHAPE.write(_TAG, binding).render()


def read_trailer_context(context: bytes) -> Binding:
    """Read a verified sv2m:Binding.

    :raises MalformedMessage: anything but exactly what trailer_context() writes.
    """
    if len(context) > _MAX:
        raise errors.MalformedMessage(f"the trailer's context has more than {_MAX} bytes")
    root = parse_canonical(context)
    try:
        if root.tag != local(_TAG):
            raise ValueError("another root")
        binding = Binding(**_SHAPE.read_fields(children(root)))
    except (ValueError, LookupError, TypeError, errors.LocalError) as error:
        raise errors.MalformedMessage("the trailer's context is malformed") from error
    if trailer_context(binding) != context:
        raise errors.MalformedMessage("the trailer's context has something that no context has")
    return binding
