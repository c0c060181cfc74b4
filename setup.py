# SPDX-License-Identifier: Apache-2.0
"""Shim for tools that still call setup.py; pyproject.toml holds the metadata, pbr the version."""

import setuptools

setuptools.setup(pbr=True)
