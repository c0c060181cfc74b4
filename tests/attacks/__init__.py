# SPDX-License-Identifier: Apache-2.0
"""Every attack that SV2M must refuse, as a story: hostile clouds in memory against the real engine and its modules.

``doc/attacks.md`` lists the attacks and the tests that play them.
"""
