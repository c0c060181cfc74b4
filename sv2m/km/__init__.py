# SPDX-License-Identifier: Apache-2.0
"""KM, the key manager: from Barbican to Barbican, and never anywhere else in the clear (paper, 4.2)."""
