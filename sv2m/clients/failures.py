# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in another service, in SV2M's tree of errors.

A message names the service, what was being done, the HTTP status and the request id with which the service's
own log can be searched. Of the service's own words only the first line is taken, and of Barbican's none: what
is not copied cannot leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from barbicanclient import exceptions as barbican_exceptions
from keystoneauth1 import exceptions as ks_exceptions
from novaclient import exceptions as nova_exceptions

from sv2m import errors

#: A service that answers so is alive, but cannot do anything now; the same call may work in a moment.
UNAVAILABLE = frozenset({429, 502, 503, 504})
CONFLICT_CODE = "service-conflict"
_LONGEST_DETAIL = 300


def from_status(
    service: str, doing: str, status: int, detail: str, request_id: str | None
) -> errors.SV2MError:
    """The error for an HTTP status that a service answered with.

    401 is ours (wrong credentials), 404 is :class:`~sv2m.errors.NotFound`, 429/502/503/504
    :class:`~sv2m.errors.ServiceUnavailable`, anything else a :class:`~sv2m.errors.HostError`, whose code is
    ``service-conflict`` for 409.
    """
    said = f": {_short(detail)}" if detail else ""
    trace = f"HTTP {status}, request {request_id}" if request_id else f"HTTP {status}"
    message = f"{service}: cannot {doing}{said} ({trace})"
    if status == 401:
        return errors.ConfigurationError(f"{message}; look at [service_credentials]")
    if status == 404:
        return errors.NotFound(message)
    if status in UNAVAILABLE:
        return errors.ServiceUnavailable(message)
    if service == "Barbican":
        return errors.KeyManagerError(message)
    return errors.HostError(message, code=CONFLICT_CODE if status == 409 else None)


@contextmanager
def translated(service: str, doing: str) -> Iterator[None]:
    """Turn what the client libraries raise inside the block into SV2M's errors.

    :param service: the service's name as its operators say it, e.g. ``"Nova"``.
    :param doing: what was tried, to be read after "cannot", e.g. ``"pause server 1234"``.
    :raises sv2m.errors.SV2MError: one of those that :func:`from_status` names.
    """
    try:
        yield
    except nova_exceptions.ClientException as exc:
        status, detail, request_id = int(exc.code), str(exc.message or ""), exc.request_id
    except barbican_exceptions.HTTPError as exc:
        # HTTPAuthError hands its status to the base class as an argument and never sets the attribute.
        auth = isinstance(exc, barbican_exceptions.HTTPAuthError)
        status, detail, request_id = 401 if auth else int(exc.status_code or 500), "", None
    except ks_exceptions.HttpError as exc:
        status, detail, request_id = int(exc.http_status or 500), words(exc.response), exc.request_id
    except (ks_exceptions.ConnectionError, ks_exceptions.DiscoveryFailure) as exc:
        raise errors.ServiceUnavailable(f"{service}: cannot {doing}: {type(exc).__name__}") from None
    except (ks_exceptions.CatalogException, ks_exceptions.MissingAuthPlugin) as exc:
        raise errors.ConfigurationError(
            f"{service}: cannot {doing}: no endpoint of it in the catalog, or no way to authenticate "
            f"({type(exc).__name__})"
        ) from None
    except ks_exceptions.ClientException as exc:
        raise errors.HostError(f"{service}: cannot {doing}: {type(exc).__name__}") from None
    else:
        return
    # From None: the library's exception carries the whole response, which may hold what must not be printed.
    raise from_status(service, doing, status, detail, request_id) from None


def words(response: Any) -> str:
    """The service's own words in an error answer; each service wraps them in another form."""
    try:
        body: Any = response.json()
    except (AttributeError, ValueError):
        return ""
    while isinstance(body, (dict, list)) and body:
        if isinstance(body, list):
            body = body[0]
            continue
        for key in ("message", "detail", "title", "faultstring"):
            if isinstance(body.get(key), str):
                return str(body[key])
        body = next(iter(body.values()))
    return body if isinstance(body, str) else ""


def _short(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line[:_LONGEST_DETAIL]
