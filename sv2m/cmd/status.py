# SPDX-License-Identifier: Apache-2.0
"""``sv2m-status upgrade check``: whether this cloud is ready for this release."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_upgradecheck import common_checks, upgradecheck

from sv2m import conf as sv2m_conf
from sv2m import errors, reporting, rpc
from sv2m.cmd import core_files, program
from sv2m.conf.engine import ends_early
from sv2m.db import certificates, engine, migrations, services, sync

#: A certificate that ends sooner is worth a warning.
SOON = timedelta(days=14)
NO_SCHEMA = "Not known without a schema."
NO_DATABASE = "[database] connection is not set."
CONF = cfg.CONF


class Checks(upgradecheck.UpgradeCommands):
    """The checks."""

    def _check_schema(self) -> upgradecheck.Result:
        if not CONF.database.connection:
            return upgradecheck.Result(upgradecheck.Code.FAILURE, NO_DATABASE)
        try:
            engine.check(CONF)
        except errors.ConfigurationError as error:
            return upgradecheck.Result(upgradecheck.Code.FAILURE, error.message)
        try:
            version = sync.version(engine.current())
        except db_exc.DBError as error:
            said = f"The database does not answer: {getattr(error, 'inner_exception', None) or error}"
            return upgradecheck.Result(upgradecheck.Code.FAILURE, said)
        if version == sync.head():
            return upgradecheck.Result(upgradecheck.Code.SUCCESS)
        return upgradecheck.Result(
            upgradecheck.Code.FAILURE,
            f"The schema is {version or 'empty'}, not {sync.head()}: run sv2m-manage db sync.",
        )

    def _check_certificate(self) -> upgradecheck.Result:
        if not _has_schema():
            return upgradecheck.Result(upgradecheck.Code.WARNING, NO_SCHEMA)
        with engine.session() as session:
            active = certificates.active(session)
        if active is None or active.not_after is None:
            text = "There is no evidence certificate: run sv2m-manage certificate request."
            return upgradecheck.Result(upgradecheck.Code.WARNING, text)
        left = active.not_after - datetime.now(UTC)
        if left < SOON:
            text = f"The evidence certificate ends in {left.days} days: run sv2m-manage certificate renew."
            return upgradecheck.Result(upgradecheck.Code.WARNING, text)
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _check_running(self) -> upgradecheck.Result:
        if not _has_schema():
            return upgradecheck.Result(upgradecheck.Code.WARNING, NO_SCHEMA)
        with engine.session() as session:
            running = len(migrations.list_unfinished(session))
        if running:
            text = f"{running} migrations are running; they go on after the restart."
            return upgradecheck.Result(upgradecheck.Code.WARNING, text)
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _check_policy(self) -> upgradecheck.Result:
        """Beside oslo's own check, which does not read the file."""
        try:
            program.check_policy(CONF)
        except errors.ConfigurationError as error:
            return upgradecheck.Result(upgradecheck.Code.FAILURE, error.message)
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _check_broker(self) -> upgradecheck.Result:
        try:
            rpc.transport(CONF).cleanup()
        except errors.ConfigurationError as error:
            return upgradecheck.Result(upgradecheck.Code.FAILURE, error.message)
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _check_arrivals(self) -> upgradecheck.Result:
        """What is not needed to start, and without which most servers are refused."""
        lacking = {
            "[cmm] crl_url or crl_hosts: no peer's certificate is believed without its revocation list": (
                CONF.cmm.crl_url or CONF.cmm.crl_hosts
            ),
            "[engine] landing_network: no server with a network interface can arrive": CONF.engine.landing_network,
            "[engine] agent_transport_url: root on a compute host may call SV2M's modules": (
                CONF.engine.agent_transport_url
            ),
        }
        missing = [text for text, found in lacking.items() if not found]
        if missing:
            return upgradecheck.Result(upgradecheck.Code.WARNING, "Not set: " + "; ".join(missing) + ".")
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _check_lifetimes(self) -> upgradecheck.Result:
        early = ends_early(CONF)
        if early is not None:
            return upgradecheck.Result(upgradecheck.Code.WARNING, f"{early}.")
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _check_services(self) -> upgradecheck.Result:
        if not _has_schema():
            return upgradecheck.Result(upgradecheck.Code.WARNING, NO_SCHEMA)
        now = datetime.now(UTC)
        with engine.session() as session:
            lacking = [one for one in reporting.PROGRAMS if not services.up(session, one, now)]
        if lacking:
            text = f"Nowhere up: {', '.join(lacking)} (see openstack secure migration service list)."
            return upgradecheck.Result(upgradecheck.Code.WARNING, text)
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _check_cloud_name(self) -> upgradecheck.Result:
        if CONF.cloud_name:
            return upgradecheck.Result(upgradecheck.Code.SUCCESS)
        return upgradecheck.Result(upgradecheck.Code.FAILURE, "[DEFAULT] cloud_name is not set.")

    _upgrade_checks = (
        ("Cloud name", _check_cloud_name),
        ("Database schema", _check_schema),
        ("Evidence certificate", _check_certificate),
        ("Running migrations", _check_running),
        ("Message broker", _check_broker),
        ("Services", _check_services),
        ("Peers and arrivals", _check_arrivals),
        ("Time limits", _check_lifetimes),
        ("Policy file", (common_checks.check_policy_json, {"conf": CONF})),
        ("Policy rules", _check_policy),
    )

    def check(self) -> upgradecheck.Code:
        """Run every check, on the database that is configured."""
        engine.register_opts(CONF)
        if _can_have_database():
            engine.start(CONF)
        return super().check()


def _can_have_database() -> bool:
    try:
        engine.check(CONF)
    except errors.ConfigurationError:
        # The check of the schema says so.
        return False
    return True


def _has_schema() -> bool:
    if not _can_have_database():
        return False
    try:
        return sync.version(engine.current()) is not None
    except db_exc.DBError:
        # The check of the schema says so.
        return False


@program.told
def main() -> int:
    """Run the check that the command line asks for.

    :returns: 0 ready, 1 with warnings, 2 not ready, 255 for an unforeseen error.
    """
    core_files.forbid()
    sv2m_conf.register(CONF)
    return int(upgradecheck.main(CONF, project="sv2m", upgrade_command=Checks()))


if __name__ == "__main__":
    sys.exit(main())
