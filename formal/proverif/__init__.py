# SPDX-License-Identifier: Apache-2.0
"""The protocol for ProVerif: any number of sessions and of clouds, and long-term keys that are stolen later."""
