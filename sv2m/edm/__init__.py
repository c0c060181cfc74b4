# SPDX-License-Identifier: Apache-2.0
"""EDM, encryption and decryption (paper, 4.1.4): the RPC endpoint of the agent on every compute host.

``server`` answers, ``client`` asks, ``spec`` reads what a job is told, ``ports`` says what EDM needs from
outside. The work itself is in :mod:`sv2m.agent`.
"""
