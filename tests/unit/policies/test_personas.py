# SPDX-License-Identifier: Apache-2.0
"""Who may do what, as a table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_policy import opts, policy

from sv2m import policies
from sv2m.policies import personas
from sv2m.policies.enforcer import Enforcer

#: Keystone's tokens carry implied roles too.
PERSONAS = {
    "admin": {"roles": ["admin", "manager", "member", "reader"], "project_id": "ours"},
    "other admin": {"roles": ["admin", "manager", "member", "reader"], "project_id": "theirs"},
    "manager": {"roles": ["manager", "member", "reader"], "project_id": "ours"},
    "other manager": {"roles": ["manager", "member", "reader"], "project_id": "theirs"},
    "member": {"roles": ["member", "reader"], "project_id": "ours"},
    "reader": {"roles": ["reader"], "project_id": "ours"},
    "other reader": {"roles": ["reader"], "project_id": "theirs"},
    "service": {"roles": ["service"], "project_id": "service"},
    "nobody": {"roles": [], "project_id": "ours"},
}
ADMINS = {"admin", "other admin"}
MANAGERS = ADMINS | {"manager"}
READERS = MANAGERS | {"member", "reader"}
ALLOWED = {
    "secure_migration:migrations:create": MANAGERS,
    "secure_migration:migrations:list": READERS,
    "secure_migration:migrations:list_all_projects": ADMINS,
    "secure_migration:migrations:show": READERS,
    "secure_migration:migrations:abort": MANAGERS | {"member"},
    "secure_migration:migrations:decide": ADMINS,
    "secure_migration:migrations:evidence": MANAGERS,
    "secure_migration:peers:create": ADMINS,
    "secure_migration:peers:list": MANAGERS | {"other manager"},
    "secure_migration:peers:show": MANAGERS | {"other manager"},
    "secure_migration:peers:update": ADMINS,
    "secure_migration:peers:delete": ADMINS,
    "secure_migration:load:list": ADMINS,
    "secure_migration:services:list": ADMINS,
    "secure_migration:federation:accept": set(PERSONAS),
}


def make(path: Path, text: str | None = None) -> Enforcer:
    conf = cfg.ConfigOpts()
    conf([], default_config_dirs=[str(path)], default_config_files=[])
    if text is not None:
        opts.set_defaults(conf)
        (path / "policy.yaml").write_text(text)
        conf.set_override("policy_file", str(path / "policy.yaml"), "oslo_policy")
    enforcer = Enforcer(conf)
    enforcer.start()
    return enforcer


def test_the_table_names_every_rule() -> None:
    asked = {rule.name for rule in policies.list_rules()} - {rule.name for rule in personas.RULES}
    assert asked == set(ALLOWED)


def test_one_line_changes_a_persona_for_all_rules(tmp_path: Path) -> None:
    enforcer = make(tmp_path, '"context_is_admin": "role:cloud_admin"')
    target = {"project_id": "ours"}
    for rule in ("peers:create", "migrations:list_all_projects", "migrations:create", "peers:list", "migrations:show"):
        assert enforcer.allows(f"secure_migration:{rule}", {"roles": ["cloud_admin"], "project_id": "x"}, target)
        assert not enforcer.allows(f"secure_migration:{rule}", {"roles": ["admin"], "project_id": "x"}, target)


def test_who_is_needed_is_said_of_a_default_alone(tmp_path: Path) -> None:
    assert make(tmp_path).needed("secure_migration:migrations:create") == "the role manager in the project, or admin"
    changed = make(tmp_path, '"secure_migration:migrations:create": "role:mover"')
    assert changed.needed("secure_migration:migrations:create") == "what policy.yaml says of it"
    assert changed.needed("secure_migration:peers:create") == "the role admin"
    admins = make(tmp_path, '"context_is_admin": "role:cloud_admin"')
    assert admins.needed("secure_migration:peers:create") == "what policy.yaml says of it"


@pytest.mark.parametrize("rule", ALLOWED)
def test_defaults(rule: str, tmp_path: Path) -> None:
    enforcer = make(tmp_path)
    allowed = {who for who, creds in PERSONAS.items() if enforcer.allows(rule, creds, {"project_id": "ours"})}
    assert allowed == ALLOWED[rule]


def test_a_system_scoped_token_is_not_a_projects(tmp_path: Path) -> None:
    creds = {"roles": ["admin"], "system_scope": "all", "project_id": None}
    assert not make(tmp_path).allows("secure_migration:migrations:create", creds, {"project_id": "ours"})


def test_the_file_may_change_a_rule(tmp_path: Path) -> None:
    enforcer = make(tmp_path, '"secure_migration:federation:accept": "peer:cloud-a.sv2m"')
    assert enforcer.allows("secure_migration:federation:accept", {"peer": "cloud-a.sv2m"}, {})
    assert not enforcer.allows("secure_migration:federation:accept", {"peer": "cloud-c.sv2m"}, {})


def test_a_broken_file_stops_the_program(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"(?s).+"):
        make(tmp_path, "{ this is: not [ yaml")


def test_a_file_that_breaks_later_refuses(tmp_path: Path) -> None:
    enforcer = make(tmp_path, '"secure_migration:load:list": "@"')
    assert enforcer.allows("secure_migration:load:list", {}, {})
    (tmp_path / "policy.yaml").write_text("{ this is: not [ yaml")
    os.utime(tmp_path / "policy.yaml", (2**31, 2**31))
    assert not enforcer.allows("secure_migration:load:list", PERSONAS["admin"], {})


def test_an_unparsable_rule_refuses(tmp_path: Path) -> None:
    enforcer = make(tmp_path, '"secure_migration:migrations:create": "role:admin or or"')
    assert not enforcer.allows(
        "secure_migration:migrations:create", PERSONAS["admin"], {"project_id": "ours"}
    )


def test_an_unknown_rule_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(policy.PolicyNotRegistered):
        make(tmp_path).allows("secure_migration:nothing", PERSONAS["admin"], {})
