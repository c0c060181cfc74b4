# SPDX-License-Identifier: Apache-2.0
"""Two hundred strangers knock, and honest peers are answered all the same.

Everything runs on the loopback; the strangers' number and time are bounded.
"""
