# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from sv2m import errors
from sv2m.cmm.revocation import RevocationLists
from tests.unit.cmm.authority import CLOUD, CRL_URL, NOW, Certified, root


class Web:
    """Places from which something can be fetched, and what was."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    def __call__(self, url: str, limit: int) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise errors.ServiceUnavailable(f"{url} does not answer")
        return self.pages[url]


class World:
    def __init__(self, *, urls: tuple[str, ...] = (CRL_URL,), hosts: tuple[str, ...] = ()) -> None:
        self.ca = root()
        self.leaf = self.ca.certify(CLOUD, crl_url="http://point.test:8080/x.crl")
        self.web = Web()
        self.time = 0.0
        self.lists = RevocationLists(self.web, urls, hosts, 300, clock=lambda: self.time)

    def check(self, *path: Certified) -> None:
        self.lists.check([one.certificate for one in path or (self.leaf, self.ca)], NOW)


@pytest.fixture
def world() -> World:
    world = World()
    world.web.pages[CRL_URL] = world.ca.crl()
    return world


def test_a_certificate_that_is_not_on_the_list(world: World) -> None:
    world.check()
    assert world.lists.all() == [world.web.pages[CRL_URL]]


def test_a_list_in_pem(world: World) -> None:
    crl = x509.load_der_x509_crl(world.ca.crl())
    from cryptography.hazmat.primitives.serialization import Encoding

    world.web.pages[CRL_URL] = crl.public_bytes(Encoding.PEM)
    world.check()


def test_a_revoked_certificate(world: World) -> None:
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf)
    with pytest.raises(errors.InvalidCertificate, match="was revoked on 2026-05-31 12:00 UTC"):
        world.check()


def test_every_certificate_of_the_path_is_asked_about(world: World) -> None:
    between = world.ca.certify("between", ca=True)
    leaf = between.certify(CLOUD)
    world.lists = RevocationLists(world.web, (CRL_URL, "http://between.test/"), (), 300)
    world.web.pages["http://between.test/"] = between.crl()
    world.check(leaf, between, world.ca)
    world.web.pages[CRL_URL] = world.ca.crl(between)
    world.lists = RevocationLists(world.web, (CRL_URL, "http://between.test/"), (), 300)
    with pytest.raises(errors.InvalidCertificate):
        world.check(leaf, between, world.ca)


UNUSABLE = {
    "ended": lambda ca: ca.crl(ends=NOW - timedelta(seconds=1)),
    "from the future": lambda ca: ca.crl(issued=NOW + timedelta(hours=1)),
    "another CA's": lambda ca: root("somebody").crl(),
    "forged": lambda ca: root("trusted third party").crl(),
    "signed by the right key for another name": lambda ca: ca.crl(issuer="somebody"),
    "of changes only": lambda ca: ca.crl(extra=x509.DeltaCRLIndicator(1)),
    "of some certificates only": lambda ca: ca.crl(
        extra=x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    ),
    "not a list": lambda ca: b"<html>",
    "empty": lambda ca: b"",
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_list_that_says_nothing_means_no(world: World, case: str) -> None:
    world.web.pages[CRL_URL] = UNUSABLE[case](world.ca)
    with pytest.raises(errors.HostError) as caught:
        world.check()
    assert caught.value.code == "revocation-unknown"


def test_no_list_at_all_means_no() -> None:
    world = World(urls=())
    with pytest.raises(errors.HostError, match="no revocation list is configured"):
        world.check()
    assert world.web.asked == []


def test_an_issuer_that_may_not_sign_lists() -> None:
    world = World()
    world.ca = root(use={"key_cert_sign": True})
    world.leaf = world.ca.certify(CLOUD)
    world.web.pages[CRL_URL] = world.ca.crl()
    with pytest.raises(errors.HostError, match="cRLSign"):
        world.check()


def test_a_url_in_a_certificate_is_fetched_only_where_the_operator_allows() -> None:
    for url in (
        "http://point.test:8080/x.crl",
        "http://point.test@evil.test/x.crl",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "ldap://point.test/x",
        "http://[",
    ):
        world = World(urls=(), hosts=("Point.test",))
        world.leaf = world.ca.certify(CLOUD, crl_url=url)
        world.web.pages[url] = world.ca.crl()
        allowed = url == "http://point.test:8080/x.crl"
        if allowed:
            world.check()
        else:
            with pytest.raises(errors.HostError):
                world.check()
        assert world.web.asked == ([url] if allowed else [])


def test_a_list_is_kept_for_a_while_and_then_fetched_again(world: World) -> None:
    world.check()
    world.time = 299
    world.check()
    assert len(world.web.asked) == 1
    world.time = 301
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf)
    with pytest.raises(errors.InvalidCertificate):
        world.check()


def test_a_kept_list_serves_while_its_place_is_away(world: World) -> None:
    world.check()
    world.time = 1000
    world.web.pages.clear()
    world.check()
    with pytest.raises(errors.HostError, match="it ended on"):
        world.lists.check([world.leaf.certificate, world.ca.certificate], NOW + timedelta(days=2))


HOUR = timedelta(hours=1)
SECOND = "http://crl.test/second.crl"


def test_an_older_list_never_takes_the_place_of_a_newer_one(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody on the plain HTTP way shows the list of the day before."""
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf)
    with pytest.raises(errors.InvalidCertificate):
        world.check()
    world.time = 301
    world.web.pages[CRL_URL] = world.ca.crl(issued=NOW - timedelta(days=2))
    with pytest.raises(errors.InvalidCertificate):
        world.check()
    assert "is older than one" in caplog.text


@pytest.mark.parametrize("issued", [NOW - 2 * HOUR, NOW - HOUR, NOW], ids=["before", "the same second", "after"])
def test_a_list_of_a_lower_number_is_older(world: World, issued: Any) -> None:
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf, number=8)
    with pytest.raises(errors.InvalidCertificate):
        world.check()
    world.time = 301
    world.web.pages[CRL_URL] = world.ca.crl(issued=issued, number=7)
    with pytest.raises(errors.InvalidCertificate):
        world.check()


def test_a_newer_list_takes_the_place_of_an_older_one(world: World) -> None:
    """A certificate that was only on hold is good again."""
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf, number=7)
    with pytest.raises(errors.InvalidCertificate):
        world.check()
    world.time = 301
    world.web.pages[CRL_URL] = world.ca.crl(number=8)
    world.check()


def test_when_the_newer_list_has_ended_an_older_one_that_has_not_is_better_than_none(world: World) -> None:
    world.web.pages[CRL_URL] = world.ca.crl(number=8)
    world.check()
    world.time = 301
    world.web.pages[CRL_URL] = world.ca.crl(number=7, issued=NOW - 2 * HOUR, ends=NOW + timedelta(days=9))
    path = [world.leaf.certificate, world.ca.certificate]
    world.lists.check(path, NOW + timedelta(days=2))


@pytest.mark.parametrize("newer", [CRL_URL, SECOND])
def test_a_newer_list_at_the_second_place_counts(newer: str) -> None:
    world = World(urls=(CRL_URL, SECOND))
    world.web.pages = dict.fromkeys((CRL_URL, SECOND), world.ca.crl(issued=NOW - 2 * HOUR))
    world.web.pages[newer] = world.ca.crl(world.leaf)
    with pytest.raises(errors.InvalidCertificate):
        world.check()


def test_a_place_that_is_away_is_left_alone_while_another_list_serves() -> None:
    world = World(urls=(CRL_URL, SECOND))
    world.web.pages[SECOND] = world.ca.crl()
    world.check()
    world.check()
    world.time = 29
    world.check()
    assert world.web.asked == [CRL_URL, SECOND]
    world.time = 31
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf, issued=NOW)
    with pytest.raises(errors.InvalidCertificate):
        world.check()


# -- after the commit ------------------------------------------------------------------------------------------------


def _check_keys(world: World, *path: Certified, now: Any = NOW) -> None:
    world.lists.check_keys([one.certificate for one in path or (world.leaf, world.ca)], now)


THEFTS = {x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise, x509.ReasonFlags.aa_compromise}


@pytest.mark.parametrize("reason", [None, *x509.ReasonFlags])
def test_of_all_reasons_only_a_theft_counts_after_the_commit(world: World, reason: x509.ReasonFlags | None) -> None:
    if reason is x509.ReasonFlags.remove_from_crl:
        return  # of delta lists alone
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf, reason=reason)
    if reason in THEFTS:
        with pytest.raises(errors.PeerKeyCompromised, match="was revoked on 2026-05-31"):
            _check_keys(world)
    else:
        _check_keys(world)


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_list_that_says_nothing_keeps_nobody_waiting_after_the_commit(world: World, case: str) -> None:
    world.web.pages[CRL_URL] = UNUSABLE[case](world.ca)
    _check_keys(world)


def test_a_place_that_is_away_keeps_nobody_waiting_after_the_commit(world: World) -> None:
    world.web.pages.clear()
    _check_keys(world)


def test_a_list_that_has_ended_still_tells_of_a_theft(world: World) -> None:
    ended = NOW - timedelta(minutes=1)
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf, ends=ended, reason=x509.ReasonFlags.key_compromise)
    with pytest.raises(errors.PeerKeyCompromised):
        _check_keys(world)


def test_a_list_that_is_gone_has_told_of_a_theft(world: World) -> None:
    world.web.pages[CRL_URL] = world.ca.crl(world.leaf, reason=x509.ReasonFlags.key_compromise)
    with pytest.raises(errors.PeerKeyCompromised):
        _check_keys(world)
    world.time = 301
    world.web.pages.clear()
    with pytest.raises(errors.PeerKeyCompromised):
        _check_keys(world, now=NOW + timedelta(days=365))


def test_nobody_else_can_say_that_a_key_was_stolen(world: World) -> None:
    other = root("trusted third party")
    world.web.pages[CRL_URL] = other.crl(world.leaf, reason=x509.ReasonFlags.key_compromise)
    _check_keys(world)


def test_the_stolen_key_of_a_ca_between(world: World) -> None:
    between = world.ca.certify("between", ca=True)
    leaf = between.certify(CLOUD)
    world.web.pages[CRL_URL] = world.ca.crl(between, reason=x509.ReasonFlags.ca_compromise)
    with pytest.raises(errors.PeerKeyCompromised):
        _check_keys(world, leaf, between, world.ca)
