# SPDX-License-Identifier: Apache-2.0
"""Who may do what: oslo.policy rules with defaults in code, one file per resource.

The defaults follow OpenStack's secure RBAC personas. A project's manager moves his project's servers out, a
project's reader watches; an administrator does everything and keeps the agreements with peers. Every rule may
be changed in ``policy.yaml``, and each persona for all rules at once.
"""

from __future__ import annotations

import itertools

from oslo_policy import policy

from sv2m.policies import federation, load, migrations, peers, personas, services


def list_rules() -> list[policy.RuleDefault]:
    """Every rule, for the enforcer and for oslopolicy-sample-generator."""
    own = (migrations, peers, load, services, federation)
    return list(itertools.chain(personas.RULES, *(one.RULES for one in own)))
