# SPDX-License-Identifier: Apache-2.0
"""LMM, load monitoring: how full the cloud is, whether a VM fits, and the room that is held for it (paper, 4.3)."""
