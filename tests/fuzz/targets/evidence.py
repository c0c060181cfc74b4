# SPDX-License-Identifier: Apache-2.0
"""A saved evidence folder of which the other side has changed a file: summary, log, lists, timestamps, copies, all.

An input is the name of a file, a line end, and what the file holds now; an exclamation mark before the name takes all
timestamps away first, so that the folder's own word on the time is asked for.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors, protocol
from sv2m.evidence import chain, judge, path, revocation, stamps, summary, timestamps, verifier
from sv2m.evidence.folder import Folder
from sv2m.evidence.report import Report
from sv2m.evidence.verifier import Case, verify
from sv2m.protocol import session
from tests.fuzz import pieces, saved, values
from tests.fuzz.target import Target, promise

_WHOLE = dict(saved.folder().files)
_BARE = {name: data for name, data in _WHOLE.items() if not name.startswith(stamps.DIRECTORY)}
_KNOWN = frozenset(_WHOLE.values())
_ROOTS = [saved.root()]
#: Files that prove something by themselves: in a folder in which nothing is off, they are as they were.
_PROVING = re.compile(r"messages/.*\.xml|manifest\.xml|certificates/(source|destination)\.pem")


def check(data: bytes) -> None:
    head, _, content = data.partition(b"\n")
    name = head.removeprefix(b"!").decode("utf-8", "replace")
    if len(content) % 16 and _is_refused(name, content):
        return
    files = {**(_BARE if head.startswith(b"!") else _WHOLE), name: content}
    with _remembering():
        case = verify(Folder("other side's", files), _ROOTS, now=saved.now())
        facts = set(judge.facts([case]))
        convicted = judge.contradictions([_true(), case])
    promise(facts <= _facts(), "a changed folder proves something else")
    promise(not convicted, "a changed folder convicts somebody")
    promise(all(one.text.isprintable() for one in case.report.findings), "a finding draws on the terminal")
    # Fewer timestamps prove less: a later time, or none.
    earlier = [kind for kind, at in case.times.items() if kind not in _true().times or at < _true().times[kind]]
    promise(not case.report.good or not earlier, "a changed folder proves an earlier time")
    if case.report.good and _PROVING.fullmatch(name) and name in _WHOLE:
        promise(content == _WHOLE[name], f"nothing is off, and {name} is another one")


def _is_refused(name: str, content: bytes) -> bool:
    """Whether the file's own parser finds it off: of these one in sixteen is enough, the others get the time."""
    changed = Folder("", {name: content})
    try:
        if name == "summary.json":
            summary.read(content)
        elif name == "certificates/crl.pem":
            revocation.load_lists(content)
        elif name in _STAMPED:
            timestamps.verify(content, _STAMPED[name], _ROOTS)
        elif changed.logs:
            return bool(chain.read(changed.audit_lines(), _true().transcript.migration_id or "").faults)
    except errors.SV2MError:
        return True
    return False


#: Messages that have a timestamp, by the timestamp's name.
_STAMPED = {
    stamps.stamp_file(kind): data for kind, data in saved.folder().messages.items() if stamps.stamp_file(kind) in _WHOLE
}


@functools.cache
def _true() -> Case:
    return verify(saved.folder(), _ROOTS, now=saved.now())


@functools.cache
def _facts() -> frozenset[judge.Fact]:
    return frozenset(judge.facts([_true()]))


_remembered: dict[tuple[Any, ...], Any] = {}


def _once(function: Callable[..., Any], key: Callable[..., tuple[Any, ...] | None]) -> Callable[..., Any]:
    """The same function, which works out once what it says of files that were not changed."""

    def remembering(*arguments: Any) -> Any:
        known = key(*arguments)
        if known is None:
            return function(*arguments)
        asked = (function, *known)
        if asked not in _remembered:
            _remembered[asked] = function(*arguments)
        return _remembered[asked]

    return remembering


def _if_known(document: bytes, *more: Any) -> tuple[Any, ...] | None:
    return (document, *more) if document in _KNOWN else None


def _chain_key(chain: Any, name: str, roots: Any, at: Any) -> tuple[Any, ...] | None:
    return (*(one.public_bytes(Encoding.DER) for one in chain), name, at) if at in _TIMES else None


def _list_key(crl: Any, issuer: Any) -> tuple[Any, ...] | None:
    return (crl.public_bytes(Encoding.DER), issuer) if crl in _LISTS else None


def _stamp_key(response: bytes, data: bytes, roots: Any) -> tuple[Any, ...] | None:
    return (response, data) if response in _KNOWN and len(data) < 16 << 10 and len(_remembered) < 500 else None


def _replayed(function: Callable[..., Any], key: Callable[..., tuple[Any, ...] | None]) -> Callable[..., Any]:
    """As _once(), of a step whose last argument is the report: what it found is found again."""

    def found(*arguments: Any) -> tuple[Any, Report]:
        report = Report()
        return function(*arguments, report), report

    remembering = _once(found, key)

    def replaying(*arguments: Any) -> Any:
        *given, report = arguments
        value, said = remembering(*given)
        report.findings.extend(said.findings)
        return value

    return replaying


def _folder_key(folder: Folder, *_: Any) -> tuple[Any, ...] | None:
    """Messages, certificates and manifest are those of the saved folder."""
    same = all(folder.files.get(name) is data for name, data in _SIGNED.items())
    return () if same else None


def _transcript_key(folder: Folder, leaf: bytes | None, transcript: Any) -> tuple[Any, ...] | None:
    known = _folder_key(folder)
    return None if known is None or leaf is None else tuple(kind in transcript for kind in protocol.KINDS)


def _documents_key(signed: dict[str, Any]) -> tuple[Any, ...] | None:
    documents = tuple(one.document for one in signed.values())
    return documents if _KNOWN.issuperset(documents) else None


_SIGNED = {name: data for name, data in _WHOLE.items() if name.startswith(("messages/", "certificates/", "manifest"))}
_LISTS = revocation.load_lists(_WHOLE["certificates/crl.pem"])
#: When the folder is judged that was not changed, with its timestamps and without them.
_TIMES = {
    timestamps.verify(_WHOLE["timestamps/07-Transfer.tsr"], _WHOLE["messages/07-Transfer.xml"], _ROOTS).at,
    summary.read(_WHOLE["summary.json"]).offered_at,
}
_REMEMBERING = (
    (verifier, "_signed", _replayed(verifier._signed, _folder_key)),
    (verifier, "_fitting", _replayed(verifier._fitting, _documents_key)),
    (verifier, "_manifest", _replayed(verifier._manifest, _transcript_key)),
    (protocol, "verify", _once(protocol.verify, _if_known)),
    (protocol, "claimed_party", _once(protocol.claimed_party, _if_known)),
    (protocol, "verify_manifest", _once(protocol.verify_manifest, _if_known)),
    (protocol, "decode", _once(protocol.decode, lambda document: (document,) if len(_remembered) < 500 else None)),
    (session, "session_id", _once(session.session_id, lambda four: (*four,) if _KNOWN.issuperset(four) else None)),
    (path, "validate", _once(path.validate, _chain_key)),
    (revocation, "is_signed_by", _once(revocation.is_signed_by, _list_key)),
    (timestamps, "verify", _once(timestamps.verify, _stamp_key)),
)


@contextmanager
def _remembering() -> Iterator[None]:
    """Signatures over files that nobody changed are verified once, not for each input."""
    before = [(holder, name, getattr(holder, name)) for holder, name, _ in _REMEMBERING]
    for holder, name, function in _REMEMBERING:
        setattr(holder, name, function)
    try:
        yield
    finally:
        for holder, name, function in before:
            setattr(holder, name, function)


# -- mutation: behind digests, chains and PEM
# --------------------------------------------------------------------------------------------------


def _mutate(data: bytes, rng: random.Random) -> bytes:
    head, _, content = data.partition(b"\n")
    name = head.removeprefix(b"!").decode("utf-8", "replace")
    if rng.random() < 0.05:
        name = rng.choice(list(_WHOLE))
    if rng.random() < 0.02:
        name = rng.choice(("timestamps/audit-1.tsr", "timestamps/archive-2.tsr", "audit/1-1.jsonl", "other/x", "x\x1b"))
    content = _content(name, content or _WHOLE.get(name, b""), rng)
    mark = b"!" if (head.startswith(b"!")) != (rng.random() < 0.1) else b""
    return mark + name.encode() + b"\n" + content


def _content(name: str, content: bytes, rng: random.Random) -> bytes:
    if name == "summary.json":
        return _JSON(content, rng)
    if name.endswith(".jsonl"):
        return changed_log(content, rng)
    if name.endswith(".tsr"):
        return _DER(content, rng)
    if name.endswith(".pem"):
        return _pem(content, rng)
    if name.endswith(".sha512"):
        return _LISTING(content, rng)
    return pieces.flip(content, rng, len(content))


def changed_log(content: bytes, rng: random.Random) -> bytes:
    """An audit log with an event changed, and the chain made whole again behind it, as whoever writes a log can do."""
    events = []
    for line in content.splitlines():
        try:
            events.append(json.loads(line))
        except (ValueError, RecursionError):
            events.append({})
    if not events:
        return _WHOLE["audit/000001-000015.jsonl"]
    place = rng.randrange(len(events))
    events[place] = values.change(events[place], rng, ("action", "kind", "sha384", "number", "previous", "subject"))
    if rng.random() < 0.1:
        del events[rng.randrange(len(events))]
    before, lines = None, []
    for event in events:
        chained = isinstance(event, dict) and before is not None and rng.random() < 0.97
        whole = {**event, "previous": before} if chained else event
        lines.append(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        before = hashlib.sha384(lines[-1]).hexdigest()
    return b"".join(lines)


def _pem(content: bytes, rng: random.Random) -> bytes:
    blocks = re.findall(rb"(-----BEGIN [^\n]*\n)([^-]*)(-----END [^\n]*\n)", content)
    if not blocks or rng.random() < 0.2:
        return _LINES(content, rng)
    begin, body, end = rng.choice(blocks)
    try:
        der = base64.b64decode(body)
    except ValueError:
        return content
    return content.replace(body, base64.encodebytes(_DER(der, rng))) if rng.random() < 0.7 else begin + body + end


def _split_lines(data: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


_JSON = values.mutator(("kind", "at", "sha384", "documents", "migration_id"))
_PEMS = [data for name, data in _WHOLE.items() if name.endswith(".pem")]
_LINES = pieces.mutator(_split_lines, _PEMS, 30)
_LISTING = pieces.mutator(_split_lines, [_WHOLE["timestamps/archive-1.sha512"]], 131)
_DER = pieces.mutator(pieces.der, [data for name, data in _WHOLE.items() if name.endswith(".tsr")], 6)


def make() -> Target:
    seeds = [name.encode() + b"\n" + data for name, data in _WHOLE.items() if name != "README.txt"]
    at = "0001-01-01T00:00:00+14:00"
    said = json.dumps({"documents": [{"kind": "Offer", "at": at, "sha384": ""}]}).encode()
    alone = (b"summary", b"certificates/crl", b"timestamps/11-Closure.tsr")
    seeds += [b"!" + one for one in seeds if one.startswith(alone)]
    seeds += [b"!summary.json\n" + said, b"summary.json\n{}", b"audit/000001-000015.jsonl\n" + b"[" * 2000]
    return Target(
        "evidence.verifier, judge: evidence folders",
        check,
        tuple(seeds),
        ("sv2m.evidence",),
        _mutate,
        max_bytes=16 << 10,
    )
