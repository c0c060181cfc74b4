# SPDX-License-Identifier: Apache-2.0
"""The models for ProVerif have the code's messages, and their runner says what ProVerif said. No ProVerif is needed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from formal import fields
from formal.proverif import __main__ as command
from formal.proverif import program
from formal.proverif import text as t
from formal.proverif.variants import VARIANTS, Variant
from formal.scenarios import MODEL
from formal.variants import SAFEGUARDS

ROLES = ("source", "target")
#: How parts are written there whose meaning in sv2m.hlpsl is written otherwise.
WRITTEN = {
    "source.chain": ("CertA",),
    "destination.chain": ("CertB",),
    "source_certificate_digest": ("H(CertA)",),
    "destination_certificate_digest": ("H(CertB)",),
    "streams": ("H((plan, Terms))",),
    "vmk.cipher_value": ("WrappedVMK",),
    "vmk.commitment": ("CommitmentVMK",),
    "eik.cipher_value": ("WrappedEIK",),
    "eik.commitment": ("CommitmentEIK",),
    "keys_digest": ("H((keys, CommitmentVMK, CommitmentEIK))",),
    "manifest": ("H((manifest, VM))",),
    "trailer_digest": ("H(Trailer)", "TrailerDigest"),
    "sealed_signature": ("seal((stream0, Trailer), VMK)", "Sealed"),
    "outcome": ("resumed", "refused", "removed", "Outcome"),
}


def _role(name: str) -> str:
    match = re.search(rf"^let {name}\(.*?\.\n", t.LIBRARY.read_text(), re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[0]


@pytest.mark.parametrize("tag", fields.PARTS)
def test_every_message_has_the_parts_of_the_table(tag: str) -> None:
    declared = re.findall(rf"^fun {tag}\(([^)]*)\)", t.LIBRARY.read_text(), re.MULTILINE)
    assert [len(types.split(",")) for types in declared] == [len(fields.PARTS[tag])]
    for role in ROLES:
        found = list(t.calls(_role(role), tag))
        assert found, f"{role} has no {tag}"
        for _, _, arguments in found:
            for part, argument in zip(fields.PARTS[tag], arguments, strict=True):
                assert argument.removeprefix("=") in WRITTEN.get(part, fields.MEANING[part]), (role, tag, part)


def test_it_has_no_other_messages() -> None:
    declared = re.findall(r"^fun (\w+)\([^)]*\):\s*\w+ \[data\]", t.LIBRARY.read_text(), re.MULTILINE)
    assert set(declared) == {*fields.PARTS, "certificate", "honest", "rogue"}


def test_every_goal_is_asked() -> None:
    _, _, goals = MODEL.read_text().rpartition("\ngoal\n")
    named = re.findall(r"^ +\w+_o[nf] ([\w, ]+?) *(?:%.*)?$", goals, re.MULTILINE)
    wanted = {name for names in named for name in names.split(", ")}
    assert {"secret_vmk", "target_auth", "vm_removed", "evidence_of_vm"} <= wanted
    asked = {query for model in t.MODELS for query, verdict in t.expected(t.load(model)).items() if verdict == "true"}
    assert wanted <= asked


@pytest.mark.parametrize("model", t.MODELS)
def test_every_query_has_its_verdict(model: str) -> None:
    text = t.load(model)
    assert len(t.expected(text)) == len(re.findall(r"^query\b", text, re.MULTILINE)) > 0


def test_the_variants_are_those_of_the_bounded_search() -> None:
    assert {variant.name for variant in VARIANTS} >= {safeguard.name for safeguard in SAFEGUARDS}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_asks_for_what_must_break(variant: Variant) -> None:
    text = variant.text()
    assert t.expected(text) == {variant.broken: "false"}
    assert t.expected(t.load(variant.model))[variant.broken] == "true"
    assert text != t.only(t.load(variant.model), {variant.broken: "false"})
    assert text.count("(") == text.count(")")


def test_an_edit_that_changes_nothing_is_refused() -> None:
    for edit in (t.drop("nothing", 0), t.drop("offer", 9), t.replace("nothing", ""), t.unsign("Offers", "offer")):
        with pytest.raises(t.TextError):
            edit(t.load("sv2m"))
    for edit in (t.rename("nothing", "offer"), t.late("nothing")):
        with pytest.raises(t.TextError):
            edit(t.load("sv2m"))
    with pytest.raises(t.TextError):
        t.only(t.load("theft"), {"secret_vm": "true"})


def test_results_are_read() -> None:
    said = """Completing...
RESULT not attacker(x) is true.
goal reachable: attacker(x)
RESULT inj-event(e(x)) ==> inj-event(f(x)) is false.
RESULT (but event(e(x)) ==> event(f(x)) is true.)
RESULT not event(g) cannot be proved.

Verification summary:
Query not attacker(x) is true.
"""
    assert program.verdicts(said, ["a", "b", "c", "d"]) == {
        "a": "true",
        "b": "false",
        "c": program.UNPROVED,
        "d": program.MISSING,
    }
    with pytest.raises(program.ProverifError):
        program.verdicts(said, ["a", "b"])


#: Answers as the model wants it to, but for the query named LIE, of which it says what SAY holds.
FAKE = """#!{python}
import os, re, sys
if sys.argv[1] == "-help":
    sys.exit(print("Proverif 9.87. Cryptographic protocol verifier"))
text = open(sys.argv[1]).read()
for name, verdict in re.findall(r"\\(\\*! (\\w+): (\\w+) \\*\\)", text):
    said = "is " + verdict
    if name == os.environ.get("LIE"):
        said = os.environ["SAY"]
    if said == "error":
        sys.exit("Error: Syntax error.")
    if said:
        print("RESULT not attacker(" + name + ") " + said + ".")
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    path = tmp_path / "proverif"
    path.write_text(FAKE.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return monkeypatch


def test_all_as_expected(fake: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert "ProVerif 9.87" in said and "NOT EXPECTED" not in said
    assert said.count("\n| ") == 4 + sum(len(t.expected(t.load(model))) for model in t.MODELS) + len(VARIANTS)


@pytest.mark.parametrize(
    ("query", "say", "code", "row"),
    [
        ("secret_eik", "is false", 1, "| sv2m | secret_eik | true | false (NOT EXPECTED)"),
        ("a_refused", "is true", 1, "| sv2m | a_refused | false | true (NOT EXPECTED)"),
        ("one_copy", "cannot be proved", 1, "| sv2m | one_copy | true | cannot be proved (NOT EXPECTED)"),
        ("ca_stolen", "", 1, "| theft | ca_stolen | false | no answer (NOT EXPECTED)"),
        ("secret_vm_later", "is true", 1, "| secret_vm_later | false | true (NOT EXPECTED)"),
        ("secret_vm", "error", 3, ""),
    ],
)
def test_what_is_not_as_expected_is_told(
    fake: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], query: str, say: str, code: int, row: str
) -> None:
    fake.setenv("LIE", query)
    fake.setenv("SAY", say)
    assert command.main([]) == code
    assert row in capsys.readouterr().out


def test_without_proverif_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "not run" in said and f"{len(VARIANTS)} weakened" in said
