# SPDX-License-Identifier: Apache-2.0
"""HLPSL, the specification language of AVISPA: syntax tree, parser and printer.

Source: the AVISPA tool's user manual, version 1.1 (2006), section 4.1. What is not needed here is refused with the
line it stands in, never skipped: no xor, no exponentiation, no LTL goals.
"""

from formal.hlpsl.parser import HlpslError, parse
from formal.hlpsl.printer import render, render_term

__all__ = ["HlpslError", "parse", "render", "render_term"]
