# SPDX-License-Identifier: Apache-2.0
"""Two real OpenStack clouds, and the third party both trust, on one machine, to show and to test.

    python -m lab up | status | down | logs | exec | ttp

cloud.py        names, addresses, ports and paths of a lab, a cloud and the trusted third party
credentials.py  the passwords of one cloud, random for each lab
namespace.py    a cloud's own mount, network and UTS namespace; the cables between the clouds
process.py      spawning a service and stopping exactly that process again
plan.py         steps that need each other, run side by side
progress.py     one line for each step
services/       one file for each part of OpenStack: its configuration, its schema, its processes
schema.py       empty, migrated MariaDB data directory, made once and copied to every cloud
rest.py         a small client for the clouds' APIs
catalog.py      users, projects, roles, service catalog
resources.py    flavors, volume types, images, network
guest/          the guest's init and its image
ttp/            the trusted third party: EST and CRL
up.py down.py status.py session.py
                what the commands do, and the same for tests

The clouds share nothing but the machine, this code and the trust anchor of the third party: each has its own
databases, broker, Keystone, certificate authority for TLS, hypervisor and storage.
"""
