# SPDX-License-Identifier: Apache-2.0
"""Recognisable keys go through everything that runs; then everything that they could have leaked into is searched."""
