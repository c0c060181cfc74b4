# SPDX-License-Identifier: Apache-2.0
"""LMM, load monitoring: how full the cloud is, what fits, and the room held for it (paper, 4.3)."""
