# SPDX-License-Identifier: Apache-2.0
"""Measurements that can be repeated: ``python -m bench``."""
