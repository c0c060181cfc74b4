# SPDX-License-Identifier: Apache-2.0
"""What runs inside nova-api: one paste filter. It imports nothing of SV2M's server."""
