# SPDX-License-Identifier: Apache-2.0
"""openstacksdk's view of the API: service type ``secure-migration``.

``connection.add_service(sv2m.sdk.service.SecureMigrationService())``, then ``connection.secure_migration``.
"""
