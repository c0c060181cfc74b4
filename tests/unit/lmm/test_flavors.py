# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from sv2m import errors
from sv2m.clients.nova import Flavor
from sv2m.lmm import flavors

VOLUME = [{"boot": True, "volume_gb": 10}]
LOCAL = [{"boot": True, "volume_gb": 0}]


def flavor(name: str = "tiny", **changes: Any) -> Flavor:
    plain = {"vcpus": 1, "memory_mb": 128, "root_gb": 1, "ephemeral_gb": 0, "swap_mb": 0, "extra_specs": {}}
    return Flavor(id=f"id-{name}", name=name, **{**plain, **changes})


def needs(**changes: Any) -> dict[str, Any]:
    plain = {"vcpus": 1, "memory_mb": 128, "root_gb": 1, "ephemeral_gb": 0, "swap_mb": 0, "disks": LOCAL}
    return {**plain, **changes}


def test_the_equal_one_is_taken() -> None:
    choice = [flavor("a", memory_mb=256), flavor("b"), flavor("c", vcpus=2)]
    assert flavors.match(choice, needs()).name == "b"


@pytest.mark.parametrize(
    "change",
    [
        {"vcpus": 2},
        {"memory_mb": 129},
        {"root_gb": 2},
        {"ephemeral_gb": 1},
        {"swap_mb": 1},
        {"extra_specs": {"hw:mem_page_size": "large"}},
        {"extra_specs": {"trait:CUSTOM_GPU": "required"}},
        {"extra_specs": {"resources:VGPU": "1"}},
        {"extra_specs": {"pci_passthrough:alias": "a"}},
    ],
)
def test_what_would_change_the_hardware_is_no_match(change: dict[str, Any]) -> None:
    with pytest.raises(
        errors.NoRoom, match="no flavor here has 1 vCPUs, 128 MB of memory, a root disk of 1 GB"
    ) as caught:
        flavors.match([flavor(**change)], needs())
    assert caught.value.code == "no-flavor"


def test_extra_specs_that_only_place_or_limit_are_fine() -> None:
    specs = {"aggregate_instance_extra_specs:ssd": "true", "quota:disk_read_iops_sec": "100"}
    assert flavors.match([flavor(extra_specs=specs)], needs()).name == "tiny"


def test_booting_from_a_volume_the_flavors_root_size_is_of_no_effect() -> None:
    choice = [flavor("big", root_gb=40), flavor("near", root_gb=2)]
    assert flavors.match(choice, needs(disks=VOLUME)).name == "near"


def test_resources_are_what_nova_asks_for() -> None:
    one = flavor(root_gb=3, ephemeral_gb=2, swap_mb=1025)
    assert flavors.resources(one, LOCAL) == {"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 7}
    assert flavors.resources(one, VOLUME) == {"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 4}
    assert flavors.resources(flavor(), VOLUME) == {"VCPU": 1, "MEMORY_MB": 128}


def why(*choice: Flavor, **changes: Any) -> str:
    with pytest.raises(errors.NoRoom) as caught:
        flavors.match(choice, needs(**changes))
    return str(caught.value)


def test_the_spec_that_excludes_a_flavor_of_the_right_size_is_named() -> None:
    specs = {"hw_rng:allowed": "true", "hw:mem_page_size": "large"}
    said = why(flavor("huge", extra_specs=specs), flavor("other", vcpus=2))
    assert "Nearest: huge has extra spec hw:mem_page_size=large" in said
    assert "hw_rng" not in said
    assert "other" not in said, "its size is another one"


def test_the_nearest_flavors_are_named() -> None:
    choice = [flavor(f"f{vcpus}", vcpus=vcpus, memory_mb=vcpus * 128) for vcpus in (8, 4, 3, 16)]
    said = why(*choice, flavor("near", memory_mb=256))
    assert "Nearest: near has 256 MB of memory; f3 has 3 vCPUs, 384 MB of memory; f4" in said
    assert "f16" not in said


def test_where_there_is_no_flavor_at_all() -> None:
    assert "there is no flavor at all" in why()


def test_what_booting_from_a_volume_passes_over_is_not_told() -> None:
    said = why(flavor("big", root_gb=40, vcpus=2), disks=VOLUME)
    assert "root disk" not in said


def test_a_flavor_with_harmless_specs_is_taken() -> None:
    specs = {"hw_rng:allowed": "True", "hw:cpu_policy": "shared", "trait:COMPUTE_STATUS_DISABLED": "forbidden"}
    assert flavors.match([flavor(extra_specs=specs)], needs()).name == "tiny"
