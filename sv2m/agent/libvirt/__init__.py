# SPDX-License-Identifier: Apache-2.0
"""libvirt with QEMU: the only part of SV2M that imports them."""
