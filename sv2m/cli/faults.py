# SPDX-License-Identifier: Apache-2.0
"""The service's errors, as the ``openstack`` command shows them: what happened, its code, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions

from sv2m import errors


def sentence(error: Mapping[str, Any]) -> str:
    """An error's message, code and remedy in one line."""
    return f"{error.get('message')} ({error.get('code')}). {error.get('remedy')}"


@contextmanager
def shown() -> Iterator[None]:
    """Show the service's own words where it has any.

    :raises osc_lib.exceptions.CommandError: in place of openstacksdk's HTTP errors.
    """
    try:
        yield
    except sdk_exceptions.HttpException as failure:
        try:
            error = failure.response.json()["error"] if failure.response is not None else None
        except (ValueError, KeyError, TypeError):
            error = None
        if not isinstance(error, Mapping) or "code" not in error:
            raise
        text = sentence(error)
        if error.get("request_id"):
            text = f"{text} [{error['request_id']}]"
        raise exceptions.CommandError(text) from failure


@contextmanager
def told() -> Iterator[None]:
    """Show SV2M's own errors, of what is done on this machine.

    :raises osc_lib.exceptions.CommandError: in place of :class:`sv2m.errors.SV2MError`.
    """
    try:
        yield
    except errors.SV2MError as error:
        raise exceptions.CommandError(f"{error} ({error.code}). {error.remedy}") from error
