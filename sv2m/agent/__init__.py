# SPDX-License-Identifier: Apache-2.0
"""sv2m-agent, on every compute host.

Takes a VM's state and disks out of the hypervisor, and puts them into it.

============== =====================================================================
hypervisor     what is asked of a hypervisor
libvirt/       libvirt and QEMU, the one implementation
source         the job at A: disks in rounds, memory, sealed and sent
destination    the job at B: received, opened, restored, held paused
streams        plaintext to segments, and disk records back to writes
jobs           all jobs by migration id, and what RPC asks of them
job            what every job has: state, progress, long poll, undo
journal        what a restarted agent must know of them
cleanup        what a restarted agent does about them
service        the parts put together
============== =====================================================================
"""
