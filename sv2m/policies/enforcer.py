# SPDX-License-Identifier: Apache-2.0
"""Asking the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log
from oslo_policy import opts, policy

from sv2m import policies
from sv2m.policies import personas

LOG = log.getLogger(__name__)


class Enforcer:
    """The rules of :func:`sv2m.policies.list_rules`, as ``policy.yaml`` changes them.

    A policy file that cannot be read stops the program at :meth:`start`, and when it breaks later, refuses
    everything: an error in it never opens anything.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        opts.set_defaults(conf, "policy.yaml")
        self.rules = policy.Enforcer(conf)
        self.rules.register_defaults(policies.list_rules())

    def start(self) -> None:
        """Read the policy file.

        :raises Exception: it cannot be read, or is not YAML of rules.
        """
        self.rules.load_rules()

    def allows(self, rule: str, credentials: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
        """Whether ``rule`` says yes.

        :param credentials: ``roles``, ``project_id``, ``user_id`` and so on; of a peer, ``peer``.
        :param target: what is acted upon; ``project_id`` of its owner.
        """
        asked = {"roles": [], **credentials}
        try:
            return bool(self.rules.authorize(rule, dict(target), asked, do_raise=False))
        except policy.PolicyNotRegistered:
            raise
        except Exception:
            LOG.exception("Rule %s could not be evaluated, so the answer is no", rule)
            return False

    def needed(self, rule: str) -> str:
        """Who may do what ``rule`` guards, in words; where ``policy.yaml`` says it, that it does."""
        changed = self.rules.file_rules.keys() & {rule, *(one.name for one in personas.RULES)}
        words = None if changed else personas.NEEDED.get(self.rules.registered_rules[rule].check_str)
        return words or "what policy.yaml says of it"


def get_enforcer() -> policy.Enforcer:
    """The enforcer that oslo.policy's command line tools inspect."""
    cfg.CONF([], project="sv2m")
    return Enforcer(cfg.CONF).rules
