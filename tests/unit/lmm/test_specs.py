# SPDX-License-Identifier: Apache-2.0
"""Extra specs: what is harmless is taken, what Nova has beside it is refused, and whatever it gets later as well."""

from __future__ import annotations

import re

import pytest
from nova.api.validation.extra_specs import validators

from sv2m.lmm import specs


@pytest.fixture(scope="module")
def novas() -> list[str]:
    """The names of all extra specs that this Nova documents."""
    validators.load_validators()
    return [re.sub(r"\{[^}]*\}", part, name) for name in validators.VALIDATORS for part in ("", "1")]


@pytest.mark.parametrize(
    "spec",
    [
        "hw_rng:allowed=True",
        "hw:cpu_policy=shared",
        "hw:watchdog_action=disabled",
        "trait:COMPUTE_STATUS_DISABLED=forbidden",
        "quota:disk_read_iops_sec=100",
        "quota:cpu_shares=10",
        "aggregate_instance_extra_specs:ssd=true",
        "ssd=true",
        "example:tier=gold",
        "hw_rng:rate_bytes=4096",
    ],
)
def test_what_the_guest_does_not_see(spec: str) -> None:
    assert specs.is_harmless(*spec.split("="))


@pytest.mark.parametrize(
    "spec",
    [
        "hw_rng:allowed=False",
        "hw:cpu_policy=dedicated",
        "hw:watchdog_action=none",
        "hw:watchdog_action=reset",
        "trait:COMPUTE_STATUS_DISABLED=required",
        "trait:CUSTOM_GPU=required",
        "trait:CUSTOM_GPU=forbidden",
        "trait1:HW_CPU_X86_AVX=required",
        "resources:VGPU=1",
        "resources1:CUSTOM_X=1",
        "pci_passthrough:alias=a:1",
        "accel:device_profile=x",
        "hw:numa_nodes=1",
        "hw:mem_page_size=small",
        "hw:pmu=false",
        "hw:cpu_sockets=1",
        "hw:tpm_version=2.0",
        "vmware:hw_version=1",
        "hide_hypervisor_id=true",
        "hw:of_a_later_nova=1",
        "hw_later:x=1",
    ],
)
def test_what_changes_the_hardware_or_asks_for_a_host(spec: str) -> None:
    name, _, value = spec.partition("=")
    assert specs.excluding({name: value, "quota:cpu_shares": "1"}) == [spec]


def test_every_spec_of_nova_is_in_the_table_or_refused(novas: list[str]) -> None:
    """So a name that Nova gets later is refused whatever its value is, until it is in the table."""
    assert len(novas) > 300
    tabled = [name for name in novas if any(re.fullmatch(one.name, name) for one in specs.HARMLESS)]
    others = [name for name in novas if name not in tabled]
    assert [name for name in others if specs.is_harmless(name, "1") or specs.is_harmless(name, "")] == []


def test_every_line_of_the_table_is_one_of_novas(novas: list[str]) -> None:
    assert [one.name for one in specs.HARMLESS if not any(re.fullmatch(one.name, name) for name in novas)] == []
    assert all(one.why for one in specs.HARMLESS)


def test_the_values_are_such_as_nova_takes(novas: list[str]) -> None:
    """A value that no Nova takes would be a slip of the pen."""
    enums = {
        name: validator.value["enum"]
        for name, validator in validators.VALIDATORS.items()
        if isinstance(validator.value, dict) and "enum" in validator.value
    }
    for one in specs.HARMLESS:
        for name, values in enums.items():
            if re.fullmatch(one.name, name):
                assert any(re.fullmatch(one.values, str(value).lower()) for value in values), name
