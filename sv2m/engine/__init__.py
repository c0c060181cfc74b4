# SPDX-License-Identifier: Apache-2.0
"""The engine: the conductor of every migration. ``flow.py`` is the table, the rest carries it out."""
