# SPDX-License-Identifier: Apache-2.0
"""CMM, certificate management: our evidence certificate, and whether a peer's is good (paper, 4.1.1)."""
