# SPDX-License-Identifier: Apache-2.0
"""``openstack secure migration evidence save`` and ``verify``."""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from sv2m import errors
from sv2m.cli import files
from sv2m.cli.client import client_of
from sv2m.cli.faults import shown, told
from sv2m.cli.guarded import Guarded
from sv2m.evidence import judge, revocation
from sv2m.evidence.folder import Folder
from sv2m.evidence.verifier import Case, refused, verify_all

#: Bytes of the largest file of revocation lists that is read.
_MAX_LISTS = 64 << 20


class SaveEvidence(Guarded, command.Command):
    """Save the signed messages of a migration, with a text that says how to check them"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("migration", metavar="<migration>", help="Migration (ID)")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--file", metavar="<file>", help="Zip file (default: evidence-ID.zip); - is standard output")
        where.add_argument("--directory", metavar="<directory>", help="Unpack into it instead")
        parser.add_argument("--overwrite", action="store_true", help="Write over what is there already")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run it."""
        to_stdout = parsed_args.file == "-"
        option, saved = (
            ("--directory", Path(parsed_args.directory))
            if parsed_args.directory
            else ("--file", Path(parsed_args.file or f"evidence-{parsed_args.migration}.zip"))
        )
        if not (to_stdout or parsed_args.overwrite):
            _check_free(option, saved)
        with shown():
            content = client_of(self).download_evidence(parsed_args.migration)
        if to_stdout:
            sys.stdout.buffer.write(content)
            return
        try:
            _save(content, saved, unpacked=option == "--directory")
        except OSError as error:
            raise exceptions.CommandError(f"{option} {files.named(str(saved))}: {error.strerror}") from error
        self.app.stdout.write(f"{saved}\n")


def _check_free(option: str, saved: Path) -> None:
    """Evidence is not written over by mistake: of a migration that has gone on, it is another."""
    if any(saved.iterdir()) if saved.is_dir() and option == "--directory" else saved.exists():
        raise exceptions.CommandError(
            f"{option} {files.named(str(saved))} is there already; --overwrite writes over it"
        )


def _save(content: bytes, saved: Path, *, unpacked: bool) -> None:
    if unpacked:
        # extractall drops leading slashes and "..": nothing lands outside of the directory.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(saved)
    else:
        saved.write_bytes(content)


class VerifyEvidence(Guarded, command.Lister):
    """Check saved evidence, of one side or of both, against root certificates alone; no cloud is asked.

    The exit status is 1 when anything is off, or a cloud has contradicted itself.
    """

    auth_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("folder", metavar="<folder>", nargs="+", help="Folder or zip file that was saved")
        parser.add_argument(
            "--ca",
            metavar="<file>",
            action="append",
            required=True,
            help="PEM file with root certificates that vouch for the clouds, from a source that you trust and not "
            "from the folder (repeat option for several)",
        )
        parser.add_argument(
            "--tsa-ca",
            metavar="<file>",
            action="append",
            help="PEM file with root certificates that vouch for the timestamp authority (default: those of --ca)",
        )
        parser.add_argument(
            "--crl",
            metavar="<file>",
            action="append",
            help="PEM file with revocation lists of today, from those CAs: they tell of keys that were stolen since "
            "(repeat option for several)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
        """Run it."""
        roots = [one for file in parsed_args.ca for one in files.anchors("--ca", file)]
        tsa = [one for file in parsed_args.tsa_ca or () for one in files.certificates("--tsa-ca", file)] or None
        lists = [one for file in parsed_args.crl or () for one in _lists(file)]
        with told():
            opened = [_opened(folder) for folder in parsed_args.folder]
            heard = iter(verify_all([one for one in opened if isinstance(one, Folder)], roots, tsa, lists))
            cases = [next(heard) if isinstance(one, Folder) else one for one in opened]
        # A folder's number, as the verdict has it: its path in each line would leave no room for what was found.
        found: list[Sequence[str]] = [
            (f"folder {number}", one.subject, one.result, one.text)
            for number, case in enumerate(cases, start=1)
            for one in case.report.findings
        ]
        found += [(fact.cloud, fact.document, "proved", fact.text) for fact in judge.facts(cases)]
        found += [(fact.cloud, fact.document, "OWES", fact.text) for fact in judge.owing(cases)]
        convicted = judge.contradictions(cases)
        found += [(one.cloud, one.code, "CONVICTED", one.text) for one in convicted]
        self._off = bool(convicted) or not all(case.report.good for case in cases)
        self._verdict = _verdict(cases, len(judge.facts(cases)), [one.cloud for one in convicted])
        return ("Of", "What", "Result", "Finding"), found

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the table and the verdict, and tell it by the exit status, too."""
        super().run(parsed_args)
        # What is for a program to read is nothing else.
        print(self._verdict, file=self.app.stdout if parsed_args.formatter == "table" else sys.stderr)
        return int(self._off)


def _verdict(cases: Sequence[Case], proved: int, convicted: Sequence[str]) -> str:
    """A line for each folder, and one for all of them together."""
    numbered = enumerate(cases, start=1)
    lines = [f"folder {number}: {_heard(case)}: {files.named(case.folder.name)}" for number, case in numbered]
    said = f"{proved} statements are proved"
    if convicted:
        lines.append(f"CONVICTED: {', '.join(dict.fromkeys(convicted))}; {said}")
    elif all(case.report.good for case in cases):
        lines.append(f"GOOD: nothing is off, no cloud has contradicted itself; {said}")
    else:
        lines.append(f"OFF: what is off proves nothing; {said} by the other folders")
    return "\n".join(lines)


def _heard(case: Case) -> str:
    off, all_of_them = len(case.report.bad), len(case.report.findings)
    return f"{all_of_them} looked at, nothing off" if not off else f"{off} of {all_of_them} OFF, not heard"


def _opened(folder: str) -> Folder | Case:
    """A folder; or, where it holds what no evidence folder holds, the finding: the other side's is heard all the same.

    :raises sv2m.errors.LocalError: there is none at this path.
    """
    try:
        return Folder.read(Path(folder))
    except errors.PeerError as error:
        return refused(folder, error)


def _lists(file: str) -> list[Any]:
    given = files.read("--crl", file, _MAX_LISTS)
    try:
        return revocation.load_lists(given)
    except errors.InvalidCertificate as error:
        raise exceptions.CommandError(f"--crl {files.named(file)}: {error}") from error
