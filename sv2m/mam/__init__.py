# SPDX-License-Identifier: Apache-2.0
"""MAM, mutual authentication: every message signed and verified (paper, 4.1.3; FIPS 196, ISO 9798-3)."""
