# SPDX-License-Identifier: Apache-2.0
"""The import rule: which room may know which. It is what lets a reader, and an auditor, take one room at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "sv2m"
MODULES = {"cmm", "azm", "lmm", "mam", "km", "edm"}
#: What a room may import of SV2M, beside itself.
BASE = {"errors", "exchange", "rpc", "rounds", "version", "conf", "db"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "exchange": set(),
    "rpc": {"errors"},
    "rounds": {"errors"},
    "version": set(),
    "reporting": {"db", "rounds", "version"},
    "conf": set(),
    "db": {"errors", "conf"},
    "policies": set(),
    "protocol": {"errors"},
    "evidence": {"errors", "protocol"},
    **{module: BASE | {"protocol", "evidence", "policies"} for module in MODULES},
    "transfer": {"errors", "protocol"},
    "clients": BASE | MODULES | {"protocol", "api", "engine"},
    "agent": BASE | MODULES | {"protocol", "transfer"},
    "engine": BASE | MODULES | {"protocol", "evidence", "gateway", "reporting"},
    "gateway": BASE | MODULES | {"protocol"},
    "api": BASE | MODULES | {"policies", "protocol", "evidence", "engine"},
    "cmd": {"*"},
    "wsgi": {"*"},
    "nova": {"exchange"},
    "sdk": set(),
    "cli": {"errors", "sdk", "evidence"},
    "dashboard": {"sdk"},
}
#: Third-party packages that only these rooms may touch.
KEPT: dict[str, set[str]] = {
    "libvirt": {"agent/libvirt"},
    "libvirt_qemu": {"agent/libvirt"},
    "signxml": {"protocol"},
    "cryptography": {"protocol", "cmm", "evidence"},
    "rfc3161_client": {"evidence"},
    **{
        name: {"clients"}
        for name in ("novaclient", "barbicanclient", "cinderclient", "glanceclient", "neutronclient")
    },
    # openstacksdk stands on it, and raises its errors.
    "keystoneauth1": {"clients", "sdk"},
}
NO_IO = {"oslo_config", "oslo_messaging", "oslo_log", "oslo_db", "socket", "sqlalchemy", "requests", "ssl"}
PURE = {"protocol": NO_IO, "evidence": NO_IO}


def _files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    package = ["sv2m", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            if name == "sv2m":
                yield from (f"sv2m.{alias.name}" for alias in node.names)


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = _room(path)
    where = str(path.relative_to(ROOT))
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "sv2m" and len(parts) > 1 and room != "__init__":
            allowed = ALLOWED[room]
            assert parts[1] == room or "*" in allowed or parts[1] in allowed, f"{where} imports {name}"
        if parts[0] in KEPT:
            assert any(where.startswith(keeper + "/") for keeper in KEPT[parts[0]]), f"{where} imports {name}"
        assert parts[0] not in PURE.get(room, set()), f"{where} imports {name}: this room does no I/O"


def test_the_package_itself_imports_nothing() -> None:
    assert list(_imports(ROOT / "__init__.py")) == []


def test_no_file_imports_eventlet_or_asyncio() -> None:
    for path in _files():
        roots = {name.split(".")[0] for name in _imports(path)}
        assert not roots & {"eventlet", "asyncio", "gevent"}, path
