# SPDX-License-Identifier: Apache-2.0
"""Thin adapters to the services of this cloud, with the rights of SV2M's own user (in caller: the caller's)."""
