# SPDX-License-Identifier: Apache-2.0
"""Entry points of the programs.

Importing this package selects native threads for oslo.service, which must happen before anything else imports it,
and makes an import of eventlet an error rather than a silent return to green threads.
"""

from __future__ import annotations

import sys

from oslo_service import backend

# None in sys.modules makes `import eventlet` raise ImportError.
sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
backend.init_backend(backend.BackendType.THREADING)
