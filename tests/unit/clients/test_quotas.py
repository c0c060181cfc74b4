# SPDX-License-Identifier: Apache-2.0
"""What a project's quotas leave for an arriving server, as the services tell it."""

from __future__ import annotations

from typing import Any

import pytest

from sv2m import errors
from sv2m.clients.cinder import Cinder
from sv2m.clients.glance import Glance
from sv2m.clients.keystone import Keystone
from sv2m.clients.neutron import Neutron
from sv2m.clients.nova import Nova
from sv2m.clients.storage import Storage
from tests.unit.clients.conftest import Cloud


def nova(cloud: Cloud, **changes: int) -> Any:
    values = {
        "maxTotalInstances": 10,
        "totalInstancesUsed": 9,
        "maxTotalCores": 20,
        "totalCoresUsed": 16,
        "maxTotalRAMSize": 51200,
        "totalRAMUsed": 47104,
    }
    limits = {"rate": [], "absolute": {**values, **changes}}
    return cloud.http.get("http://nova.test/v2.1/limits?tenant_id=p1", json={"limits": limits})


def test_what_just_fits_fits(cloud: Cloud, keystone: Keystone) -> None:
    nova(cloud)
    Nova(keystone).check_quota("p1", 4, 4096)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"totalInstancesUsed": 10}, r"Nova's of servers \(1 wanted, 1 missing\)"),
        ({"totalCoresUsed": 19}, r"Nova's of vCPUs \(4 wanted, 3 missing\)"),
        ({"maxTotalRAMSize": 50000}, r"Nova's of MiB of memory \(4096 wanted, 1200 missing\)"),
        ({"totalCoresUsed": 17, "totalInstancesUsed": 12}, r"servers \(1 wanted, 3 missing\), Nova's of vCPUs"),
    ],
)
def test_what_is_missing_is_named(cloud: Cloud, keystone: Keystone, changes: dict[str, int], said: str) -> None:
    nova(cloud, **changes)
    with pytest.raises(errors.NoRoom, match=said):
        Nova(keystone).check_quota("p1", 4, 4096)


def test_without_a_limit_everything_fits(cloud: Cloud, keystone: Keystone) -> None:
    nova(cloud, maxTotalInstances=-1, maxTotalCores=-1, maxTotalRAMSize=-1)
    Nova(keystone).check_quota("p1", 400, 1 << 30)


@pytest.mark.parametrize(("size", "fits"), [(10, True), (11, False)])
def test_volumes(cloud: Cloud, keystone: Keystone, size: int, fits: bool) -> None:
    absolute = {"maxTotalVolumes": 10, "totalVolumesUsed": 9}
    absolute |= {"maxTotalVolumeGigabytes": 1000, "totalGigabytesUsed": 990}
    cloud.http.get("http://cinder.test/v3/limits?project_id=p1", json={"limits": {"rate": [], "absolute": absolute}})
    storage = Storage(Cinder(keystone), Glance(keystone))
    if fits:
        storage.check_quota("p1", size)
    else:
        with pytest.raises(errors.NoRoom, match=r"Cinder's of GiB \(11 wanted, 1 missing\)"):
            storage.check_quota("p1", size)


@pytest.mark.parametrize("group", [True, False])
def test_ports_and_groups(cloud: Cloud, keystone: Keystone, group: bool) -> None:
    quota = {
        "port": {"limit": 10, "used": 8, "reserved": 1},
        "security_group": {"limit": 10, "used": 10, "reserved": 0},
    }
    cloud.http.get("http://neutron.test/v2.0/quotas/p1/details", json={"quota": quota})
    if group:
        with pytest.raises(errors.NoRoom, match=r"too small: Neutron's of security groups \(1 wanted, 1 missing\)"):
            Neutron(keystone).check_quota("p1", group=True)
    else:
        Neutron(keystone).check_quota("p1", group=False)
