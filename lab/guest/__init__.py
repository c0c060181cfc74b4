# SPDX-License-Identifier: Apache-2.0
"""The lab's guest: Debian's cloud kernel, busybox, and an init that makes it visible whether the same machine goes on.

init       the guest's only program
image.py   the disk image it boots from
"""
