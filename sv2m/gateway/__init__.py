# SPDX-License-Identifier: Apache-2.0
"""The peer-facing side: the web application that takes a peer's messages, and the client that calls a peer's."""
