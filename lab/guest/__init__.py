# SPDX-License-Identifier: Apache-2.0
"""The lab's guest: Debian's cloud kernel, busybox, and an init that shows whether it still goes on.

init       the guest's only program
image.py   the disk image it boots from
"""
