# SPDX-License-Identifier: Apache-2.0
"""The commit and its recovery: every order of crashes, losses, repetitions and aborts, searched by Maude."""
