# SPDX-License-Identifier: Apache-2.0
"""SV2M's writes on a Galera cluster whose nodes are all written: ``make test-galera``."""
