# SPDX-License-Identifier: Apache-2.0
"""The ``openstack`` command's plugin: ``openstack secure migration …``."""
