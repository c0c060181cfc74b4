# SPDX-License-Identifier: Apache-2.0
"""A module for each parser, with a function ``make() -> Target``."""
