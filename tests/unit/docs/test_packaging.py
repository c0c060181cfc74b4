# SPDX-License-Identifier: Apache-2.0
"""What a package must bring, and what ``doc/installing.md`` and ``etc/`` say of it."""

from __future__ import annotations

import configparser
import fnmatch
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from sv2m.clients import cinder, nova, placement
from sv2m.nova.filter import filter_factory
from tests.unit.docs.pages import ROOT, text_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UNITS = sorted((ROOT / "etc" / "systemd").glob("*.service"))
PAGE = text_of("installing.md")


def test_every_file_that_is_no_module_is_packaged() -> None:
    """A file that only a clone has is missed at run time, by an operator."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    left = []
    for path in (ROOT / "sv2m").rglob("*"):
        if path.is_dir() or path.suffix == ".py" or path.parent.name == "__pycache__":
            continue
        packaged = any(
            fnmatch.fnmatch(str(path.relative_to(ROOT / Path(*package.split(".")))), pattern)
            for package, globs in patterns.items()
            for pattern in globs
            if path.is_relative_to(ROOT / Path(*package.split(".")))
        )
        if not packaged:
            left.append(str(path.relative_to(ROOT)))
    assert left == []


def test_every_directory_of_modules_is_a_package() -> None:
    modules = {path.parent for path in (ROOT / "sv2m").rglob("*.py")}
    assert sorted(str(one) for one in modules if not (one / "__init__.py").exists()) == []


def test_each_service_has_a_unit_and_each_unit_a_service() -> None:
    services = set(PROJECT["project"]["scripts"]) - {"sv2m-manage", "sv2m-status"}
    assert {path.stem for path in UNITS} == services


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_its_program_and_leaves_no_key_in_a_core_file(path: Path) -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.read(path)
    service = unit["Service"]
    assert service["ExecStart"] == f"/opt/sv2m/bin/{path.stem} --config-file /etc/sv2m/sv2m.conf"
    assert service["LimitCORE"] == "0"
    assert service["User"] == ("root" if path.stem == "sv2m-agent" else "sv2m")


def test_the_microversions_that_a_cloud_must_have() -> None:
    for service, wanted in (("Nova", nova), ("Placement", placement), ("Cinder", cinder)):
        assert f"| {service}, API microversion {wanted.MICROVERSION}" in PAGE


def test_the_filters_options_are_those_of_the_filter() -> None:
    block = re.search(r"\[filter:sv2m\]\n((?:    .*\n)+)", PAGE)
    assert block is not None
    lines = [line.split("#")[0].split("=") for line in block[1].splitlines()]
    options = {name.strip(): value.strip() for name, value in lines}
    assert options.pop("paste.filter_factory") == f"{filter_factory.__module__}:{filter_factory.__name__}"
    filter_factory({}, **options)  # raises for an option that there is not


def run(tool: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """One of oslo's tools, in a process of its own: what they import decides how oslo.service has its threads."""
    path = Path(sys.executable).with_name(tool)
    return subprocess.run([path, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_the_samples_are_generated(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "etc", tmp_path / "etc")
    for tool, kind, made, says in (
        ("oslo-config-generator", "oslo-config-generator", "sv2m.conf.sample", "#cloud_name = "),
        ("oslopolicy-sample-generator", "oslo-policy-generator", "policy.yaml.sample", '#"secure_migration:load:list"'),
    ):
        done = run(tool, "--config-file", f"etc/{kind}/sv2m.conf", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert says in (tmp_path / "etc" / made).read_text()


@pytest.mark.parametrize("before", ["The least, for API, gateway and engine:", "and no other passwords:"])
def test_the_configuration_of_the_page_is_one(tmp_path: Path, before: str) -> None:
    block = re.search(re.escape(before) + r"\n\n((?:    .*\n)+)", PAGE)
    assert block is not None
    (tmp_path / "sv2m.conf").write_text(textwrap.dedent(block[1]))
    generator = (ROOT / "etc" / "oslo-config-generator" / "sv2m.conf").read_text()
    namespaces = [f"--namespace={name}" for name in re.findall(r"^namespace = (\S+)$", generator, re.MULTILINE)]
    done = run("oslo-config-validator", *namespaces, "--input-file", str(tmp_path / "sv2m.conf"))
    assert done.returncode == 0, done.stderr
