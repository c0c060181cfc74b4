# SPDX-License-Identifier: Apache-2.0
"""The trusted third party of the lab: a small certificate authority. For lab and tests ONLY.

It keeps its key in a file, asks nobody before it certifies, and forgets nothing in time. A real one would be
a CA product with EST (RFC 7030), reached under the same paths.

authority.py  the CA: what it issues, revokes and lists
timestamping.py  its timestamp authority (RFC 3161)
service.py    EST and the CRL over HTTP, as a process of the lab
command.py    what its administrator does: `python -m lab ttp revoke ...`
"""
