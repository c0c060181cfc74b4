# SPDX-License-Identifier: Apache-2.0
"""Fetching a document from a place that the operator named."""

from __future__ import annotations

import requests
import urllib3

from sv2m import errors


class HttpFetch:
    """Implements :data:`sv2m.cmm.ports.Fetch`.

    :param timeout: seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def __call__(self, url: str, limit: int) -> bytes:
        """The body at ``url``.

        :param limit: bytes; a larger body is refused.
        :raises sv2m.errors.ServiceUnavailable: it cannot be had.
        """
        with requests.Session() as http:
            http.trust_env = False
            try:
                # A redirection would lead to a place that nobody named.
                answer = http.get(url, timeout=self._timeout, allow_redirects=False, stream=True)
                body: bytes = answer.raw.read(limit + 1, decode_content=True)
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                # ValueError: requests reads where an answer redirects to, though it is not followed.
                raise errors.ServiceUnavailable(f"{url} does not answer: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise errors.ServiceUnavailable(f"{url} answers HTTP {answer.status_code}")
        if len(body) > limit:
            raise errors.ServiceUnavailable(f"{url} is larger than {limit} bytes")
        return body
