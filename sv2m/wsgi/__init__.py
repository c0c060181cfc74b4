# SPDX-License-Identifier: Apache-2.0
"""What a web server loads.

Importing this package selects native threads, as :mod:`sv2m.cmd` does for the programs; it must come first.
"""

from __future__ import annotations

import sv2m.cmd  # noqa: F401 - for what its import does
