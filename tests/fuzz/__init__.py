# SPDX-License-Identifier: Apache-2.0
"""Fuzzing of every parser that sees bytes of a peer or of an operator.

``python -m tests.fuzz --seconds N [target ...]`` runs targets under atheris, each in a process of its own, and prints
a table. A target (``targets/``) is a parser, its seeds, what it may and may not do with any bytes, and, where bytes
alone never get past the first check, a mutator that knows the parser's structure (``trees``, ``values``, ``pieces``).
``corpus/`` keeps a few small inputs of each; ``test_corpus.py`` runs them again in every run of the tests, and
``test_findings.py`` has one test for each mistake that was found here.
"""
