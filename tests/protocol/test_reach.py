# SPDX-License-Identifier: Apache-2.0
"""To which addresses of a peer's choosing a compute host connects."""

from __future__ import annotations

import pytest

from sv2m import errors
from sv2m.protocol.reach import Reach

#: Of this host, of this link, of nobody; each also as an IPv6 address that stands for it.
NOBODY_ELSES = [
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
]


@pytest.mark.parametrize("address", NOBODY_ELSES)
def test_an_address_that_is_no_other_hosts_is_not_allowed_by_itself(address: str) -> None:
    assert not Reach().allows(address)
    with pytest.raises(errors.PeerError) as caught:
        Reach().check(address)
    assert caught.value.code == "data-endpoint-not-allowed"


@pytest.mark.parametrize("address", ["10.77.0.2", "192.168.1.7", "198.51.100.4", "2001:470::7", "fd00::7"])
def test_any_other_is(address: str) -> None:
    assert Reach().allows(address)
    Reach().check(address)


def test_an_agreement_names_networks_and_nothing_else_is_allowed() -> None:
    reach = Reach.of(["198.51.100.0/24", "2001:470::/32"])
    assert reach.allows("198.51.100.4") and reach.allows("2001:470::7") and reach.allows("::ffff:198.51.100.4")
    for address in ["198.51.101.4", "10.77.0.2", "2001:471::7", *NOBODY_ELSES]:
        assert not reach.allows(address)


def test_an_agreement_may_name_what_is_not_allowed_by_itself() -> None:
    assert Reach.of(["127.0.0.0/8"]).allows("127.0.0.1")


def test_a_name_is_judged_when_it_is_resolved() -> None:
    Reach().check("compute-7.cloud-b.example")


@pytest.mark.parametrize("network", ["198.51.100.7/24", "198.51.100.0/33", "compute-7", ""])
def test_what_is_no_network(network: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Reach.of([network])
