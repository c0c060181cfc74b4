# SPDX-License-Identifier: Apache-2.0
"""The certificate is renewed before it ends, without anybody having to think of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from oslo_log import log

from sv2m.cmm.enrolment import Enrolment
from sv2m.cmm.identity import RetiredKeys
from sv2m.db import certificates, engine
from sv2m.db.models import Certificate
from sv2m.rounds import Rounds

LOG = log.getLogger(__name__)


class Renewal(Rounds):
    """Looks at the certificate's end now and then.

    :param before: how long before its end it is renewed; never more than a third of its life.
    :param interval: seconds between two looks.
    """

    def __init__(
        self,
        enrolment: Enrolment,
        retired: RetiredKeys,
        before: timedelta,
        interval: float,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("Renewing the certificate", interval)
        self._enrolment = enrolment
        self._retired = retired
        self._before = before
        self._now = now

    def look(self) -> bool:
        """Renew if it is time; whether it was renewed.

        :raises sv2m.errors.SV2MError: it is time, but the CA or Barbican failed; the present certificate
            stays.
        """
        with engine.session() as session:
            active = certificates.active(session)
        renewed = False
        if active is not None and self._is_time(active):
            if self._enrolment.can_enrol:
                self._enrolment.renew()
                renewed = True
            else:
                LOG.warning(
                    "Certificate %s ends on %s and no est_url is set: run sv2m-manage certificate request",
                    active.serial,
                    active.not_after,
                )
        self._retired.sweep()
        return renewed

    def _is_time(self, certificate: Certificate) -> bool:
        leaf = x509.load_pem_x509_certificate((certificate.chain_pem or "").encode())
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        return self._now() >= leaf.not_valid_after_utc - min(self._before, life / 3)
