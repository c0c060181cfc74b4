# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from barbicanclient import exceptions as barbican
from keystoneauth1 import exceptions as ks
from novaclient import exceptions as nova

from sv2m import errors
from sv2m.clients.failures import CONFLICT_CODE, from_status, translated


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.HostError),
        (401, errors.ConfigurationError),
        (403, errors.HostError),
        (404, errors.NotFound),
        (409, errors.HostError),
        (429, errors.ServiceUnavailable),
        (500, errors.HostError),
        (503, errors.ServiceUnavailable),
    ],
)
def test_a_status_becomes_the_error_that_says_whose_fault_it_is(status: int, kind: type[Exception]) -> None:
    error = from_status("Nova", "pause server 1", status, "no\nsecond line", "req-7")
    assert type(error) is kind
    assert str(error).startswith(f"Nova: cannot pause server 1: no (HTTP {status}, request req-7)")
    assert (error.code == CONFLICT_CODE) == (status == 409)


def test_novas_exception_brings_its_request_id() -> None:
    with pytest.raises(errors.ServiceUnavailable, match="req-1"), translated("Nova", "look"):
        raise nova.ClientException(503, "later", request_id="req-1")


@pytest.mark.parametrize("kind", [barbican.HTTPClientError, barbican.HTTPServerError])
def test_of_barbicans_words_none_are_copied(kind: type[Exception]) -> None:
    with pytest.raises(errors.KeyManagerError) as caught, translated("Barbican", "store VMK"):
        raise kind("payload c2VjcmV0 is wrong", 400)
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_barbicans_401_is_ours() -> None:
    with pytest.raises(errors.ConfigurationError), translated("Barbican", "read"):
        raise barbican.HTTPAuthError("who?")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ks.ConnectFailure("refused"), errors.ServiceUnavailable),
        (ks.ConnectTimeout("slow"), errors.ServiceUnavailable),
        (ks.DiscoveryFailure("what?"), errors.ServiceUnavailable),
        (ks.EndpointNotFound("none"), errors.ConfigurationError),
        (ks.AuthorizationFailure("odd"), errors.HostError),
    ],
)
def test_failures_to_reach_a_service(raised: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="Cinder: cannot list"), translated("Cinder", "list"):
        raise raised
