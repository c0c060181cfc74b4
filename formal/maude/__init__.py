# SPDX-License-Identifier: Apache-2.0
"""The second opinion on the messages: Maude searches the same specification by its own rules (intruder.maude).

Source: M. Clavel et al., Maude Manual; the semantics of HLPSL are those of AVISPA's deliverable 2.1.
"""
