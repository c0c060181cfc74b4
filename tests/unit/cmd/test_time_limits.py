# SPDX-License-Identifier: Apache-2.0
"""Time limits that contradict each other are told at the start, not after hours of a transfer."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

import sv2m.conf
from sv2m.cmd import status
from sv2m.conf.engine import ends_early


def _options(**engine: Any) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    sv2m.conf.register(conf)
    conf([], default_config_files=[])
    for name, value in engine.items():
        conf.set_override(name, value, "engine")
    return conf


def test_the_defaults_fit_each_other() -> None:
    assert ends_early(_options()) is None


@pytest.mark.parametrize("raised", ["precopy_timeout", "downtime_timeout", "landing_timeout"])
def test_whoever_gives_the_disks_more_time_hears_that_the_offer_has_less(
    raised: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = _options(**{raised: 36000})
    monkeypatch.setattr(status, "CONF", conf)
    result = status.Checks()._check_lifetimes()
    assert result.code == upgradecheck.Code.WARNING
    assert "offer_lifetime (7200)" in result.details
    conf.set_override("offer_lifetime", 43200, "engine")
    assert status.Checks()._check_lifetimes().code == upgradecheck.Code.SUCCESS


@pytest.mark.parametrize("name", ["offer_lifetime", "longest_offer_lifetime", "certificate_margin"])
def test_no_offer_and_no_margin_is_without_bound(name: str) -> None:
    for value in (59, 30 * 24 * 3600 + 1):
        with pytest.raises(ValueError):
            _options(**{name: value})
