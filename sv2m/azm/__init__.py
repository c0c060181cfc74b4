# SPDX-License-Identifier: Apache-2.0
"""AZM, authorization: who may migrate what, to and from which peer (paper, 4.1.2)."""
