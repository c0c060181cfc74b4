# SPDX-License-Identifier: Apache-2.0
"""The service, for openstacksdk's connection."""

from __future__ import annotations

from openstack import service_description

from sv2m.sdk.proxy import Proxy

SERVICE_TYPE = "secure-migration"


class SecureMigrationService(service_description.ServiceDescription[Proxy]):
    """Where the service is found in the catalog, and what speaks to it."""

    supported_versions = {"1": Proxy}  # noqa: RUF012 - the base class declares it

    def __init__(self) -> None:
        super().__init__(SERVICE_TYPE)
