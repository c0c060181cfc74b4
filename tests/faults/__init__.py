# SPDX-License-Identifier: Apache-2.0
"""The crash matrix: every fault, on each side, in each phase of a migration between two real clouds."""
