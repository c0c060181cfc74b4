# SPDX-License-Identifier: Apache-2.0
"""Thin adapters to the services of this cloud, as SV2M's own user (in caller: as the caller)."""
