# SPDX-License-Identifier: Apache-2.0
"""The text in an evidence folder, with the commands for exactly the files that are there."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources

from sv2m import protocol
from sv2m.evidence.folder import LISTS, MANIFEST, README, SUMMARY, message_file, signer
from sv2m.evidence.stamps import ROOTS, listing_file
from sv2m.protocol.session import OPENING

_DS = "http://www.w3.org/2000/09/xmldsig#"
_CRL = f" -crl_check -CRLfile {LISTS}"
_NONE = "(There is none in this folder: {}.)"


def write(names: Mapping[str, str], files: Mapping[str, bytes], at: datetime, stamped: Mapping[str, datetime]) -> bytes:
    """The text.

    :param names: id, source, destination, kept_by.
    :param at: when the offer was made.
    :param stamped: the time of each timestamp, by its file.
    """
    text = resources.files("sv2m.api").joinpath("evidence.txt").read_text()
    listed = sorted({*files, README, SUMMARY})
    return text.format(
        **names,
        files="\n".join(f"  {name}" for name in listed),
        chains=_chains(files, at),
        form=_form(files, names["id"]),
        signatures=_signatures(files),
        together=_together(files),
        trailer=_trailer(files),
        timestamps=_timestamps(files, stamped),
        audit=_audit(files),
        archives=_archives(files),
    ).encode()


def _chains(files: Mapping[str, bytes], at: datetime) -> str:
    found = []
    for role in ("source", "destination"):
        name, issuers = f"certificates/{role}.pem", f"certificates/{role}-issuers.pem"
        if name in files:
            # A chain of a leaf alone: the root has issued it.
            more = f"-untrusted {issuers}" if issuers in files else ""
            crl = _CRL if LISTS in files else ""
            found.append(
                f"openssl verify -attime {int(at.timestamp())} -CAfile certificates/ca.pem \\\n    {more}{crl} {name}\n"
                f"openssl x509 -in {name} -noout -subject -dates -ext subjectAltName,keyUsage"
            )
    return _indented(found)


#: The words of a message: no comment, declaration or processing instruction, and nothing of a signature.
_WORDS = "([^<]|<[^!?d]|<ds:[^S])*"
#: The signature, whose first reference is to the whole message, and in which there is nothing but parts of a signature.
_SIGNATURE = (
    f'<ds:Signature xmlns:ds="{_DS}"><ds:SignedInfo>([^<]|</?ds:[CS])*<ds:Reference URI="">'
    "([^<]|</?ds:)*</ds:Signature>"
)


def _form(files: Mapping[str, bytes], migration_id: str) -> str:
    """Each file is the one line that a message is: its words, then the signature over them, then nothing.

    Later commands search the files for words, and xmlsec1 says OK of more than they look at: its first ds:Signature
    may be anywhere and have any words in a ds:Object or ds:KeyInfo, comments are nobody's, and a signature over a
    manifest.xml, whose references are to parts by their Id, says nothing of the message that it is put into. Every word
    that a command finds begins with ``<sv2m:``, and that does not occur from ds:Signature on. It is the first signature
    there is, because no other element begins with ds:SignedInfo, as whatever these clouds have signed does.
    """
    there = [kind for kind in protocol.KINDS if message_file(kind) in files]
    if not there:
        return _NONE.format("no message")
    root = f'xmlns:sv2m="urn:sv2m:1" MigrationId="{migration_id}" Version="1">'
    lines = ['[ "$(cat messages/*.xml | wc -l)" -eq 0 ]']
    # In the C locale a byte is a character, whatever the reader's own language is; and a large Transfer takes no time.
    lines += [f'LC_ALL=C grep -qxE "<sv2m:{kind} $of$by</sv2m:{kind}>" {message_file(kind)}' for kind in there]
    said = "every file is one message of this migration, and nothing else"
    return _indented([_compared(f"of='{root}{_WORDS}'; \\\nby='{_SIGNATURE}'", lines, said)])


def _signatures(files: Mapping[str, bytes]) -> str:
    signed = [(message_file(kind), signer(kind), "") for kind in protocol.KINDS if message_file(kind) in files]
    if MANIFEST in files:
        signed.append((MANIFEST, "source", f" --ignore-manifests --id-attr:Id {_DS}:Object"))
    return _indented(
        f"xmlsec1 --verify --enabled-key-data key-name{more} \\\n    --pubkey-cert-pem certificates/{role}.pem {name}"
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
_WITHDRAWN = b"<sv2m:Outcome>withdrawn</sv2m:Outcome>"


def _together(files: Mapping[str, bytes]) -> str:
    """Comparisons, each with both its tags: what could not be read or computed is found nowhere."""
    there = [kind for kind in protocol.KINDS if message_file(kind) in files]
    found = []
    for (name, first), later in _NONCES.items():
        # Read between its tags; the message has it once.
        value = f"$(sed -n 's/.*<sv2m:{name}>\\([^<]*\\)<.*/\\1/p' {message_file(first)})"
        found.append(_named(there, first, later, name, value))
    if all(kind in there for kind in OPENING):
        opening = " ".join(message_file(kind) for kind in OPENING)
        digest = f"$(cat {opening} | \\\n    openssl dgst -sha384 -binary | openssl base64 -A)"
        session = [kind for kind in protocol.KINDS if kind not in OPENING]
        found.append(_named(there, OPENING[-1], session, "Sid", digest))
    for named, later in _DIGESTS.items():
        # A withdrawal answers no Receipt.
        sure = [kind for kind in later if kind in there and _WITHDRAWN not in files[message_file(kind)]]
        digest = f"$(openssl dgst -sha384 -binary {message_file(named)} | openssl base64 -A)"
        found.append(_named(there, named, sure, f"{named}Digest", digest))
    return _indented(one for one in found if one)


def _named(there: Sequence[str], named: str, later: Iterable[str], name: str, value: str) -> str:
    naming = [kind for kind in later if kind in there]
    if named not in there or not naming:
        return ""
    finds = [f'grep -qF "$of" {message_file(kind)}' for kind in naming]
    return _compared(f'of="<sv2m:{name}>{value}</sv2m:{name}>"', finds, f"{name} is right")


def _compared(sought: str, finds: Iterable[str], said: str) -> str:
    compared = " && \\\n    ".join([*finds, f"echo OK: {said}"])
    return f"{sought}; \\\n    {compared}"


def _trailer(files: Mapping[str, bytes]) -> str:
    transfer = message_file("Transfer")
    if MANIFEST not in files or transfer not in files:
        return _NONE.format("either manifest.xml or the Transfer")
    # Searched for with both its tags: a digest that could not be computed is found nowhere.
    digest = f"$(openssl dgst -sha384 -binary {MANIFEST} | openssl base64 -A)"
    return _indented(
        [
            f'grep -qF "<sv2m:TrailerDigest>{digest}</sv2m:TrailerDigest>" \\\n'
            f"    {transfer} && echo OK: the Transfer names this manifest"
        ]
    )


def _timestamps(files: Mapping[str, bytes], stamped: Mapping[str, datetime]) -> str:
    found = []
    for name, at in sorted(stamped.items()):
        covers = name.removeprefix("timestamps/").removesuffix(".tsr")
        given, data = "", f"-data messages/{covers}.xml"
        if covers.startswith("audit-"):
            number = covers.removeprefix("audit-")
            given, data = f"grep -h '\"number\":{number},' audit/*.jsonl | ", "-data /dev/stdin"
        elif covers.startswith("archive-"):
            data = f"-data {listing_file(covers)}"
        elif f"messages/{covers}.xml" not in files:
            continue
        found.append(
            f"{given}openssl ts -verify -attime {int(at.timestamp())} {data} \\\n    -in {name} -CAfile {ROOTS}"
        )
    return _indented(found) or _NONE.format("no timestamp authority was configured, or it has not answered yet")


def _audit(files: Mapping[str, bytes]) -> str:
    logs = sorted(name for name in files if name.startswith("audit/"))
    if not logs:
        return _NONE.format("no audit log was kept")
    before = json.loads(files[logs[0]].split(b"\n", 1)[0])["previous"]
    return _indented(
        [
            f"before={before}; cat audit/*.jsonl | \\\n"
            'while IFS= read -r line; do \\\n  case "$line" in *\'"previous":"\'"$before"\'"\'*) ;; '
            '*) echo "BROKEN before: $line"; exit 1 ;; esac; \\\n'
            "  before=$(printf '%s\\n' \"$line\" | openssl dgst -sha384 -r | cut -c1-96); done"
        ]
    )


def _archives(files: Mapping[str, bytes]) -> str:
    return _indented(
        "while read -r digest name; do \\\n"
        '  [ "$(openssl dgst -sha512 -r "${name#?}" | cut -c1-128)" = "$digest" ] || '
        f'{{ echo "CHANGED $name"; exit 1; }}; done < {name}'
        for name in sorted(files)
        if name.startswith("timestamps/archive-") and name.endswith(".sha512")
    ) or _NONE.format("no archive timestamp was made")


def _indented(blocks: Iterable[str]) -> str:
    return textwrap.indent("\n".join(blocks), "    ")
