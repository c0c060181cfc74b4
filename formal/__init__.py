# SPDX-License-Identifier: Apache-2.0
"""The protocol as a formal model, and what checks it. ``python -m formal`` prints it all; doc/formal.md explains it."""
