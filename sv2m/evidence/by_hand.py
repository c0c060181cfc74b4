# SPDX-License-Identifier: Apache-2.0
"""The text in an evidence folder, with the commands for exactly the files that are there.

It follows from the other files alone, so that whoever has SV2M can say whether a folder's text is this one.

Whoever made the folder may have made every file in it for these commands. So each names the files that it reads, none
takes what a file says for a name, an option or a pattern, and before a program reads a file another one has shown that
it has the one form in which all programs read the same in it.
"""

from __future__ import annotations

import base64
import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources

from sv2m import protocol
from sv2m.evidence import summary
from sv2m.evidence.folder import (
    DECLARATIONS,
    LISTS,
    MANIFEST,
    README,
    ROOT,
    SUMMARY,
    declaration_file,
    message_file,
    signer,
)
from sv2m.evidence.stamps import ROOTS, archived_names, listing_file, stamp_file
from sv2m.evidence.summary import Summary
from sv2m.evidence.zipped import bad_evidence
from sv2m.protocol.session import OPENING
from sv2m.protocol.signature_form import ENVELOPED, pattern
from sv2m.protocol.trailer_signature import REFERENCES
from sv2m.protocol.wire.element import DS, XENC, XENC11

_NONE = "(There is none in this folder: {}.)"
#: Names that a shell takes as they are, and no program for an option; others are in no folder that was saved.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
#: What ``openssl ts`` calls the months, whatever this machine's language is.
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def write(files: Mapping[str, bytes]) -> bytes:
    """The text.

    :param files: all the others, ``summary.json`` among them.
    :raises sv2m.errors.PeerError: the summary, or a file's name, is none of evidence that was saved.
    """
    said = summary.read(files.get(SUMMARY, b"{}"))
    names = _names(said)
    listed = sorted({*files, README})
    if not all(_NAME.fullmatch(name) for name in listed):
        raise bad_evidence("a file's name is none of an evidence folder")
    text = resources.files("sv2m.evidence").joinpath("by_hand.txt").read_text(encoding="utf-8")
    return text.format(
        **names,
        files="\n".join(f"  {name}" for name in listed),
        whole=_whole(listed),
        root=_roots(files, ROOT),
        chains=_chains(files, names, said.offered_at),
        form=_form(files, names["id"]),
        signatures=_signatures(files, said.role or ""),
        together=_together(files),
        trailer=_trailer(files),
        authority=_roots(files, ROOTS),
        timestamps=_timestamps(files, said.stamped),
        audit=_audit(files, names["id"]),
        archives=_archives(files),
    ).encode()


def _names(said: Summary) -> dict[str, str]:
    """Of the migration and of the clouds: such as stand in a shell's command and are nothing but names there."""
    source, destination = (said.kept_by, said.peer) if said.role == "source" else (said.peer, said.kept_by)
    names = {"id": said.migration_id, "source": source, "destination": destination, "kept_by": said.kept_by}
    found = {key: name for key, name in names.items() if name is not None and _NAME.fullmatch(name)}
    if found.keys() != names.keys() or said.role not in ("source", "destination"):
        raise bad_evidence(f"{SUMMARY} does not say whose evidence of what it is")
    return found


def _whole(listed: Iterable[str]) -> str:
    """The files are these, and all of them files: a link or a FIFO need not be the same to two programs."""
    names = " \\\n    ".join(textwrap.wrap(" ".join(listed), 100, break_long_words=False, break_on_hyphens=False))
    return _indented(
        [
            f'[ "$(find . ! -type d | LC_ALL=C sort)" = "$(printf \'./%s\\n\' {names})" ] && \\\n'
            '    [ -z "$(find . ! -type d ! -type f)" ] && echo OK: these are the files'
        ]
    )


def _roots(files: Mapping[str, bytes], name: str) -> str:
    """Nothing but certificates is in a file of roots, and the fingerprint of each one is shown.

    openssl trusts every certificate in it, under whatever label it stands, and ``openssl x509`` shows the first one.
    """
    if name not in files:
        return _NONE.format(f"{name} was not kept")
    return _indented(
        [
            f"openssl crl2pkcs7 -nocrl -certfile {name} | openssl pkcs7 -print_certs | \\\n"
            f"    sed -n '/^-----BEGIN/,/^-----END/p' | cmp - {name} && of= && \\\n"
            f'while IFS= read -r line; do of="$of$line\\n"; case "$line" in -----END*) \\\n'
            f"    printf '%b' \"$of\" | openssl x509 -noout -subject -fingerprint -sha256; of=;; esac; done < {name}"
        ]
    )


def _chains(files: Mapping[str, bytes], names: Mapping[str, str], at: datetime | None) -> str:
    found = []
    for role in ("source", "destination"):
        name, issuers = f"certificates/{role}.pem", f"certificates/{role}-issuers.pem"
        if name in files and at is not None:
            # A chain of a leaf alone: the root has issued it.
            more = f" -untrusted {issuers}" if issuers in files else ""
            # Of every certificate of the chain, and not of the first alone: a CA between can be revoked, too.
            crl = f" -crl_check_all -CRLfile {LISTS}" if LISTS in files else ""
            found.append(
                # What openssl writes of the first certificate is the whole file: so it is the only one to xmlsec1, too.
                f"openssl x509 -in {name} | cmp - {name} && \\\n"
                f"    openssl x509 -in {name} -noout -ext subjectAltName | grep -qxF '    DNS:{names[role]}' && \\\n"
                # This machine's own CAs vouch for nobody here.
                f"    openssl verify -no-CApath -no-CAstore -auth_level 2 -attime {int(at.timestamp())} \\\n"
                f"    -CAfile {ROOT}{more}{crl} {name}\n"
                f"openssl x509 -in {name} -noout -subject -dates -ext subjectAltName,keyUsage"
            )
    return _indented(found) or _NONE.format("no certificate was kept")


#: An attribute; none that gives a prefix another meaning.
_ATTRIBUTE = f' (xmlns:(ds="{DS}"|xenc="{XENC}"|xenc11="{XENC11}")|(Algorithm|Id|Recipient|Type|URI)="[^"<>]*")'
#: A tag inside of EncryptedKey or EncryptedData: what of ds stands there is no part of a signature.
_ENCRYPTED = "(xenc:[A-Za-z]+|xenc11:[A-Za-z]+|ds:KeyInfo|ds:KeyName|ds:RetrievalMethod|ds:DigestMethod)"
#: The words of a message: no comment, declaration or processing instruction, and no part of its signature.
_WORDS = f"([^<>]|</?sv2m:[A-Za-z0-9]+>|<{_ENCRYPTED}({_ATTRIBUTE})*>|</{_ENCRYPTED}>)*".replace(".", "[.]")
_REFERENCE = (
    '<ds:Reference URI="[0-9]+/[0-9]+"><ds:DigestMethod Algorithm="[^"<>]*"></ds:DigestMethod>'
    "<ds:DigestValue>[A-Za-z0-9+/]{43}=</ds:DigestValue></ds:Reference>"
)
#: A trailer's signature ends with the two ds:Objects that it is over.
_OBJECTS = (
    '<ds:Object Id="context"><sv2m:Binding xmlns:sv2m="urn:sv2m:1">([^<>]|</?sv2m:[A-Za-z]+>)*</sv2m:Binding>'
    "</ds:Object>"
    f'<ds:Object Id="manifest"><ds:Manifest>({_REFERENCE})*</ds:Manifest></ds:Object>'
)


def _form(files: Mapping[str, bytes], migration_id: str) -> str:
    """Each file is the one line that a message is: its words, then the signature over them, then nothing.

    Later commands search the files for words, and xmlsec1 says OK of more than they look at: its first ds:Signature
    may be anywhere and have any words in a ds:Object or ds:KeyInfo, comments are nobody's, and a signature over a
    manifest.xml, whose references are to parts by their Id, says nothing of the message that it is put into. And what
    ends a file or a line is not the same to all: to xmlsec1 a NUL ends the document, to grep the line.
    So no file has a control character, and each is matched from its first byte to its last one: the words, in which no
    part of a signature can be, then the signature in the one form that the protocol has.
    """
    there = [kind for kind in protocol.KINDS if message_file(kind) in files]
    if not there:
        return _NONE.format("no message")
    declared = _declared(files)
    signed = [message_file(kind) for kind in there] + declared + [MANIFEST] * (MANIFEST in files)
    read = "cat " + " \\\n        ".join(textwrap.wrap(" ".join(signed), 100, break_on_hyphens=False))
    root = f'xmlns:sv2m="urn:sv2m:1" MigrationId="{migration_id}" Version="1">{_WORDS}'
    lines = [f'[ "$({read} | LC_ALL=C tr -d \'\\000-\\037\\177\' | wc -c)" -eq \\\n    "$({read} | wc -c)" ]']
    # In the C locale a byte is a character, whatever the reader's own language is; and a large Transfer takes no time.
    # What has a byte that is no character is text, too (-a): all of it is looked at.
    lines += [f'LC_ALL=C grep -aqxE "<sv2m:{kind} $of$by</sv2m:{kind}>" {message_file(kind)}' for kind in there]
    lines += [f'LC_ALL=C grep -aqxE "<sv2m:Declaration $of$by</sv2m:Declaration>" {name}' for name in declared]
    sought = _variable("of", root) + _variable("by", pattern((ENVELOPED,)))
    if MANIFEST in files:
        sought += _variable("all", pattern(REFERENCES).replace("</ds:Signature>", f"{_OBJECTS}</ds:Signature>"))
        lines.append(f'LC_ALL=C grep -aqxE "$all" {MANIFEST}')
    said = "every file is one message of this migration, and nothing else"
    return _indented([f"{sought}    {_chained([*lines, f'echo OK: {said}'])}"])


def _variable(name: str, text: str) -> str:
    """A shell variable, set in pieces that fit a line."""
    first, *rest = (text[at : at + 90] for at in range(0, len(text), 90))
    return f"{name}='{first}'; \\\n" + "".join(f"{name}=\"${name}\"'{piece}'; \\\n" for piece in rest)


def _declared(files: Mapping[str, bytes]) -> list[str]:
    """What the people of the cloud have declared that has kept this folder: nobody else's is in it."""
    return [name for name in (declaration_file(kind) for kind in DECLARATIONS) if name in files]


def _signatures(files: Mapping[str, bytes], role_of_keeper: str) -> str:
    signed = [(message_file(kind), signer(kind), " empty") for kind in protocol.KINDS if message_file(kind) in files]
    signed += [(name, role_of_keeper, " empty") for name in _declared(files)]
    if MANIFEST in files:
        signed.append((MANIFEST, "source", f" same-doc --ignore-manifests --id-attr:Id {DS}:Object"))
    return _indented(
        f"xmlsec1 --verify --enabled-key-data key-name --enabled-reference-uris{more} \\\n"
        f"    --pubkey-cert-pem certificates/{role}.pem {name}"
        for name, role, more in signed
    )


#: Which messages carry the digest of which, under which name.
_DIGESTS = {
    "Offer": ("TokenAB", "TokenBA2"),
    "Envelope": ("Prepared", "Release", "Receipt"),
    "Transfer": ("Prepared", "Release", "Receipt"),
    "Prepared": ("Release",),
    "Release": ("Receipt",),
    "Receipt": ("Closure",),
}
_NONCES = {("NonceB", "TokenBA1"): ("TokenAB", "TokenBA2"), ("NonceA", "TokenAB"): ("TokenBA2",)}
#: Where there was none when it was declared.
_NOT_THERE = b"<sv2m:%s>" + base64.b64encode(protocol.NOTHING) + b"<"
#: A Closure that answers no Receipt: of a withdrawal, or of a VM that was taken back without one.
_UNANSWERED = (b"<sv2m:Outcome>withdrawn</sv2m:Outcome>", b"<sv2m:Outcome>taken-back</sv2m:Outcome>")


def _together(files: Mapping[str, bytes]) -> str:
    """Comparisons, each with both its tags: what could not be read or computed is found nowhere."""
    there = [kind for kind in protocol.KINDS if message_file(kind) in files]
    found = []
    for (name, first), later in _NONCES.items():
        # Read between its tags; the message has it once.
        value = f"$(LC_ALL=C sed -n 's/.*<sv2m:{name}>\\([^<]*\\)<.*/\\1/p' {message_file(first)})"
        found.append(_named(there, first, later, name, value))
    if all(kind in there for kind in OPENING):
        opening = " ".join(message_file(kind) for kind in OPENING)
        digest = f"$(cat {opening} | \\\n    openssl dgst -sha384 -binary | openssl base64 -A)"
        session = [kind for kind in protocol.KINDS if kind not in OPENING]
        found.append(_named(there, OPENING[-1], session, "Sid", digest))
        found += _declarations(files, "Sid", digest)
    for named, later in _DIGESTS.items():
        sure = [kind for kind in later if kind in there and not _is_unanswered(files[message_file(kind)])]
        digest = f"$(openssl dgst -sha384 -binary {message_file(named)} | openssl base64 -A)"
        found.append(_named(there, named, sure, f"{named}Digest", digest))
        if named in there and named in ("Prepared", "Release", "Receipt"):
            found += _declarations(files, f"{named}Digest", digest)
    return _indented(one for one in found if one)


def _is_unanswered(document: bytes) -> bool:
    return any(outcome in document for outcome in _UNANSWERED)


def _declarations(files: Mapping[str, bytes], name: str, digest: str) -> Iterable[str]:
    """What was declared is about this: it names the session, and the Release where there was one."""
    declared = [one for one in _declared(files) if _NOT_THERE % name.encode() not in files[one]]
    if declared:
        finds = [f'LC_ALL=C grep -aqF "$of" {one}' for one in declared]
        sought = f'of="<sv2m:{name}>{digest}</sv2m:{name}>"'
        yield f"{sought}; \\\n    {_chained([*finds, f'echo OK: {name} of what was declared is right'])}"


def _named(there: Sequence[str], named: str, later: Iterable[str], name: str, value: str) -> str:
    naming = [kind for kind in later if kind in there]
    if named not in there or not naming:
        return ""
    finds = [f'LC_ALL=C grep -aqF "$of" {message_file(kind)}' for kind in naming]
    sought = f'of="<sv2m:{name}>{value}</sv2m:{name}>"'
    return f"{sought}; \\\n    {_chained([*finds, f'echo OK: {name} is right'])}"


def _chained(commands: Iterable[str]) -> str:
    return " && \\\n    ".join(commands)


def _trailer(files: Mapping[str, bytes]) -> str:
    transfer = message_file("Transfer")
    if MANIFEST not in files or transfer not in files:
        return _NONE.format("either manifest.xml or the Transfer")
    # Searched for with both its tags: a digest that could not be computed is found nowhere.
    digest = f"$(openssl dgst -sha384 -binary {MANIFEST} | openssl base64 -A)"
    return _indented(
        [
            f'LC_ALL=C grep -aqF "<sv2m:TrailerDigest>{digest}</sv2m:TrailerDigest>" \\\n'
            f"    {transfer} && echo OK: the Transfer names this manifest"
        ]
    )


def _timestamps(files: Mapping[str, bytes], stamped: Mapping[str, datetime]) -> str:
    found = []
    for name, covers in sorted((stamp_file(covers), covers) for covers in stamped):
        at = stamped[covers]
        given, data = "", message_file(covers) if covers in protocol.KINDS else listing_file(covers)
        if covers.startswith("audit-"):
            number = covers.removeprefix("audit-")
            given, data = f"grep -ah '\"number\":{number},' {' '.join(_logs(files))} | ", "/dev/stdin"
        if name in files and (data in files or (given and _logs(files))):
            found.append(
                # What the signature is over, without the answer around it, in which anybody can write.
                f'[ "$(openssl ts -reply -in {name} -token_out | \\\n'
                "    openssl ts -reply -in /dev/stdin -token_in -text | \\\n"
                f"    grep -cxE 'Version: 1|Hash Algorithm: sha512|Time stamp: {_as_openssl(at)}')\" -eq 3 ] && \\\n"
                f"    {given}openssl ts -verify -attime {int(at.timestamp())} -data {data} \\\n"
                f"    -in {name} -CAfile {ROOTS}"
            )
    return _indented(found) or _NONE.format("no timestamp authority was configured, or it has not answered yet")


def _as_openssl(at: datetime) -> str:
    """The time as openssl prints it, whatever part of a second it has."""
    return f"{_MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S}([.][0-9]+)? {at.year:04d} GMT"


def _logs(files: Iterable[str]) -> list[str]:
    return sorted(name for name in files if name.startswith("audit/"))


def _audit(files: Mapping[str, bytes], migration_id: str) -> str:
    logs = _logs(files)
    if not logs:
        return _NONE.format("no audit log was kept")
    names = " ".join(logs)
    return _indented(
        [
            # Events are written in ASCII: whatever else is in the file, a shell reads in a way of its own.
            f"[ \"$(cat {names} | LC_ALL=C tr -d '\\n -~' | wc -c)\" -eq 0 ] && \\\n"
            f"before={_previous(files[logs[0]])}; cat {names} | ( count=0; \\\n"
            # The last line is looked at, too, where it does not end as a line does.
            'while IFS= read -r line || [ -n "$line" ]; do count=$((count + 1)); \\\n'
            '  case "$line" in *\'"previous":"\'"$before"\'"\'*\'"subject":"' + migration_id + "\"'*) ;; "
            "*) printf 'BROKEN before: %s\\n' \"$line\"; exit 1 ;; esac; \\\n"
            "  before=$(printf '%s\\n' \"$line\" | openssl dgst -sha384 -r | cut -c1-96); done; \\\n"
            "  echo OK: $count events in one chain )"
        ]
    )


def _previous(log: bytes) -> str:
    """What the first event has for the one before it; of a log that is none, what no event has."""
    try:
        previous = json.loads(log.split(b"\n", 1)[0])["previous"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return "none"
    return previous if isinstance(previous, str) and re.fullmatch("[0-9a-f]{96}", previous) else "none"


def _archives(files: Mapping[str, bytes]) -> str:
    """A listing is what openssl prints of the files that it names: nothing in it is followed, only compared."""
    found = []
    for name in sorted(files):
        if re.fullmatch(r"timestamps/archive-[0-9]+\.sha512", name):
            listed = [one for one in archived_names(files[name].decode("utf-8", "replace")) if one in files]
            names = " \\\n    ".join(textwrap.wrap(" ".join(listed), 100, break_on_hyphens=False))
            found.append(
                # Without a name openssl would read the keyboard.
                f"{f'openssl dgst -sha512 -r {names}' if listed else ':'} | \\\n"
                f"    cmp - {name} && echo OK: {len(listed)} files are as they were"
            )
    return _indented(found) or _NONE.format("no archive timestamp was made")


def _indented(blocks: Iterable[str]) -> str:
    return textwrap.indent("\n".join(blocks), "    ")
