# SPDX-License-Identifier: Apache-2.0
"""The operator-facing REST API, service type ``secure-migration``.

A resource has a file of the same name here, in :mod:`sv2m.api.schemas` and in :mod:`sv2m.policies`.

============= ==========================================================================
routes        every path and method, in one table
application   from a request to a handler's answer: version, path, schema, errors
deploy        the middleware around it, in order, with the reasons
versions      ``/`` and ``/v1``
migrations    move a server, list, show, abort
evidence      the signed messages of a migration, as a zip file
peers         the agreements with other clouds
load          what the load monitor sees
starting      the steps from a caller's request to a migration that the engine takes over
ports         what the API needs from the cloud around it
============= ==========================================================================
"""
