# SPDX-License-Identifier: Apache-2.0
"""The data channel: sealed segments from A's agent to B's over TCP.

``wire`` has the few bytes that are not segments, ``sender`` A's end, ``receiver`` and ``session`` B's end,
``rate`` the brake. Nothing here can read a segment's content except ``session``, which opens it before
anybody sees a byte.
"""
