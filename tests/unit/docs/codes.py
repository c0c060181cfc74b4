# SPDX-License-Identifier: Apache-2.0
"""Every code that an error of SV2M may bear, and whose fault it then is, as the source has them.

Read, not imported: some of the source needs a hypervisor's libraries.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

from tests.unit.docs.pages import ROOT

#: By which an error, or a migration's row, is given a code.
_KEYWORDS = ("code", "error_code")


def codes() -> dict[str, set[str]]:
    """For each code its faults: one, except for a code that several branches of the tree bear.

    From the classes of errors, and from the places that give an error, or a migration's row, another code than its
    class has. A code that is put together at run time (``http-404``) is in no source; the page's test names it.
    """
    found: dict[str, set[str]] = {}
    for name, attributes in _classes().items():
        if "code" in attributes and _is_error(name):
            found.setdefault(attributes["code"], set()).add(_fault(name))
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                given = [keyword.value for keyword in node.keywords if keyword.arg in _KEYWORDS]
                for code in (text for value in given for text in _texts(value)):
                    found.setdefault(code, set()).update({_fault(name)} if _is_error(name) else ())
            elif isinstance(node, ast.Dict):
                row = dict(_constants(node))
                if "error_code" in row:
                    found.setdefault(row["error_code"], set()).add(row["fault"])
    return found


@functools.cache
def _trees() -> tuple[ast.Module, ...]:
    return tuple(ast.parse(path.read_text()) for path in sorted((ROOT / "sv2m").rglob("*.py")))


@functools.cache
def _named() -> dict[str, str]:
    """The texts that constants of modules stand for."""
    lines = [line for tree in _trees() for line in tree.body if isinstance(line, (ast.Assign, ast.AnnAssign))]
    return {
        target.id: line.value.value
        for line in lines
        for target in (line.targets if isinstance(line, ast.Assign) else [line.target])
        if isinstance(target, ast.Name) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
    }


@functools.cache
def _classes() -> dict[str, dict[str, str]]:
    """Each class's texts, and its base under ``base``."""
    found = {}
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and len(node.bases) == 1:
                lines = [line for line in node.body if isinstance(line, ast.Assign)]
                texts = {
                    target.id: line.value.value
                    for line in lines
                    for target in line.targets
                    if isinstance(target, ast.Name) and isinstance(line.value, ast.Constant)
                }
                found[node.name] = {**texts, "base": ast.unparse(node.bases[0]).rpartition(".")[2]}
    return found


def _is_error(name: str) -> bool:
    while name in _classes() and name != "SV2MError":
        name = _classes()[name]["base"]
    return name == "SV2MError"


def _fault(name: str) -> str:
    while "fault" not in _classes()[name]:
        name = _classes()[name]["base"]
    return _classes()[name]["fault"]


def _texts(value: ast.expr) -> Iterator[str]:
    """The texts that an expression may be: itself, a constant's, or one of several; nothing of what calls return."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.Name) and value.id in _named():
        yield _named()[value.id]
    elif isinstance(value, ast.BoolOp):
        yield from (text for one in value.values for text in _texts(one))
    elif isinstance(value, ast.IfExp):
        yield from (text for one in (value.body, value.orelse) for text in _texts(one))


def _constants(row: ast.Dict) -> Iterator[tuple[str, str]]:
    for key, value in zip(row.keys, row.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
            yield str(key.value), str(value.value)
