# SPDX-License-Identifier: Apache-2.0
"""Whether a role could do what its text says: a pattern must not read what its player cannot read.

Matching a pattern would happily bind X in ``H(X')``. A player cannot: it learns X only where it stands in the open,
under a key that the player has by then, or in a signature. Without this check a part that is needed could be left out
of a message, and the search would not notice.
"""

from __future__ import annotations

from collections.abc import Iterator

from formal.hlpsl import HlpslError
from formal.hlpsl import syntax as s


def check(role: s.Role) -> None:
    """Whether every transition of a role can be carried out.

    Of a public key that a role has, its player is taken to have the private half if it decrypts with it.

    :raises HlpslError: a variable cannot be learned from the message that is to bring it.
    """
    kinds = role.parameters | role.local
    for step in role.transitions:
        if step.receives is None:
            continue
        wanted = {name.name for name in s.names(step.receives) if name.primed}
        learned: set[str] = set()
        while True:
            now = set(_read(step.receives, learned, kinds))
            if now <= learned:
                break
            learned |= now
        if wanted - learned:
            missing = ", ".join(sorted(wanted - learned))
            raise HlpslError(f"role {role.name}, step {step.label}: {missing} cannot be learned from the message")


def _read(term: s.Term, learned: set[str], kinds: dict[str, str]) -> Iterator[str]:
    match term:
        case s.Name(name, True):
            yield name
        case s.Pair(left, right):
            yield from _read(left, learned, kinds)
            yield from _read(right, learned, kinds)
        case s.Crypt(body, s.Inverse(s.Name() as key)) if _has(key, learned):
            yield from _read(body, learned, kinds)
        case s.Crypt(body, s.Name() as key) if _has(key, learned):
            yield from _read(body, learned, kinds)
        case s.Crypt(body, s.Inverse()):
            # Whose key it is stands inside, as in a certificate by itself.
            yield from (name for name in _read(body, learned, kinds) if kinds.get(name) == "public_key")


def _has(key: s.Name, learned: set[str]) -> bool:
    return not key.primed or key.name in learned
