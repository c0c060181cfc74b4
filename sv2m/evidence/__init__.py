# SPDX-License-Identifier: Apache-2.0
"""Checking evidence, by anybody: files in, findings and what they prove out. No database, no network, no clock.

================ ============================================================================================
file             what it is
================ ============================================================================================
path, revocation is this the evidence certificate of that cloud, and was it revoked?
timestamps       RFC 3161: what to ask an authority, and what its answer proves
token, der       RFC 3161: what a signed token must be, and the DER that it is made of
chain, told      the audit log: its chain of digests, and what it tells of
folder, zipped   the files of a saved evidence folder, and the zip file that they come in
trust            for which clouds of a folder the roots vouch, and until when
verifier         everything in a folder, checked against root certificates alone
by_hand          the text in a folder: how to check it with xmlsec1 and openssl
pem, blocks      certificates as people give them; the one form of them and of lists in a folder
judge            what signed messages prove, and about whom: facts and contradictions
================ ============================================================================================
"""
