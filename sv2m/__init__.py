# SPDX-License-Identifier: Apache-2.0
"""SV2M moves a running virtual machine from one OpenStack cloud to another that somebody else runs.

The flow, in the order of figure 4 of the paper (SV2M, SECRYPT 2014): an operator asks A's API, which has KM copy the
keys of the VM's volumes; the engine asks AZM whether he may, LMM what the VM needs, and offers it to B; MAM
authenticates both clouds to each other; B asks its AZM and LMM, holds room, and accepts; KM wraps the VM's keys to B;
EDM seals the VM's disks and memory and sends them; B's EDM opens them and restores the VM, paused; A releases it; B
resumes it and signs the receipt; A deletes its copy.

========== ====================================================================================================
folder     what it is
========== ====================================================================================================
protocol   the messages, their signatures and encryption, the state machine; no I/O at all
evidence   checking evidence offline: certificates, timestamps, the audit log, and what it all proves
cmm        certificate management: this cloud's certificate, and whether a peer's is good
azm        authorization: who may migrate, and with which peer
lmm        load monitoring: is there room, and hold it
mam        mutual authentication: signing and verifying every message
km         key manager: VMK, EIK and ekB, from Barbican to Barbican
edm        encryption and decryption: the RPC face of what runs on the compute host
agent      the compute host: state and disks out of, and into, libvirt/QEMU
transfer   the data channel between two agents
engine     the conductor: every migration's steps, persisted before they are relied on
gateway    the peer-facing web application, and the client that calls the peer's
api        the operator-facing REST API
db         the truth
clients    thin adapters to Nova, Barbican, Placement, Neutron, Cinder, Glance
conf       configuration options; policies: access rules; rounds, rpc, exchange, errors: what the rooms share
reporting  which programs run, by their own word; version: which release this is
nova       the filter in nova-api's pipeline
sdk, cli   openstacksdk resources and the openstack command's plugin
cmd, wsgi  entry points
========== ====================================================================================================
"""
