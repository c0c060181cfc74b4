# SPDX-License-Identifier: Apache-2.0
"""The timestamp authority that the operator named, asked over HTTP (RFC 3161, section 3.4)."""

from __future__ import annotations

from pathlib import Path

import requests
from oslo_config import cfg

from sv2m import errors, exchange
from sv2m.evidence import pem, timestamps
from sv2m.evidence.timestamps import Query, Stamp


class TimestampAuthority:
    """Asks, and takes only an answer that is good.

    :param url: where it answers.
    :param cafile: PEM file of the roots that vouch for it; read anew for each question.
    :param policy: the OID under which it must answer; None: any.
    :param timeout: seconds for a whole answer.
    """

    def __init__(self, url: str, cafile: str, policy: str | None, timeout: float) -> None:
        self._url = url
        self._cafile = cafile
        self._policy = policy
        self._timeout = timeout

    @classmethod
    def of(cls, conf: cfg.ConfigOpts) -> TimestampAuthority | None:
        """The one in ``[evidence]``; None when there is none."""
        own = conf.evidence
        return cls(own.tsa_url, own.tsa_cafile or "", own.tsa_policy, own.tsa_timeout) if own.tsa_url else None

    @property
    def ca_pem(self) -> str:
        """The roots, in PEM: they become part of the evidence, so nothing else of the file is taken.

        :raises sv2m.errors.ConfigurationError: the file cannot be read, or holds something else.
        """
        try:
            given = Path(self._cafile).read_bytes()
        except OSError as error:
            raise errors.ConfigurationError(f"[evidence] tsa_cafile cannot be read: {error}") from error
        return pem.encode(timestamps.anchors(given, "[evidence] tsa_cafile"))

    def stamp(self, data: bytes) -> tuple[bytes, Stamp]:
        """A timestamp of these bytes. The authority learns their SHA-512, and nothing else.

        :returns: its answer, verified, and what it says.
        :raises sv2m.errors.SV2MError: it cannot be had, or is not good.
        """
        roots = timestamps.anchors(self.ca_pem.encode())
        query = Query.of(data)
        response = self._post(query.body)
        return response, query.check(response, roots, self._policy)

    def _post(self, body: bytes) -> bytes:
        try:
            reply = exchange.ask(
                "POST",
                self._url,
                within=self._timeout,
                limit=timestamps.MAX_RESPONSE,
                data=body,
                headers={"Content-Type": timestamps.QUERY_TYPE, "Accept": timestamps.REPLY_TYPE},
            )
        except requests.RequestException as error:
            raise errors.ServiceUnavailable(
                f"the timestamp authority does not answer: {type(error).__name__}"
            ) from error
        if reply.status != 200:
            raise errors.ServiceUnavailable(f"the timestamp authority answers HTTP {reply.status}")
        return reply.body
