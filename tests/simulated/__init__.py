# SPDX-License-Identifier: Apache-2.0
"""Many migrations at once, in both roles, on one real engine: what stands around it is simulated, one for each.

:mod:`agents` are the compute hosts, :mod:`crowd` the cloud, its peers, and the engine with its database.
"""
