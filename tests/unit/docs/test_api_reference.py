# SPDX-License-Identifier: Apache-2.0
"""``doc/api.md`` against the code: every route, rule, field and error of the API is there, and nothing else."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from oslo_policy import policy

from sv2m import policies
from sv2m.api import migrations, peers, services
from sv2m.api.faults import response
from sv2m.api.microversion import MAXIMUM, MINIMUM, text
from sv2m.api.routes import ROUTES, Route
from sv2m.db.models import Migration, Peer, Service
from sv2m.errors import SV2MError
from sv2m.lmm.load import HostLoad
from sv2m.policies import personas
from tests.unit.docs.pages import quoted, sections, text_of

PAGE = text_of("api.md")
SECTIONS = sections(PAGE)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
ROW = Migration(id="m", created_at=NOW, updated_at=NOW, error_code="no-room")


def names_of(schema: Mapping[str, Any]) -> set[str]:
    """The fields that a body or a query may have, those of objects inside it included."""
    found = set()
    for name, value in schema.get("properties", {}).items():
        found |= {name} | names_of(value)
    return found


def values_of(schema: Mapping[str, Any]) -> set[str]:
    """The words that a field may have as its value."""
    found = {one for one in schema.get("enum", ()) if isinstance(one, str)}
    for value in schema.get("properties", {}).values():
        found |= values_of(value)
    # Other spellings of a yes and a no.
    return found - {"True", "False", "false", "0"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_has_a_section_with_its_fields(route: Route) -> None:
    section = SECTIONS[f"{route.method} {route.path}"]
    wanted = names_of(route.query) | values_of(route.query)
    if route.method != "PATCH":  # says that it has those of POST
        wanted |= names_of(route.body or {}) | values_of(route.body or {})
    words = set(re.findall(r"[a-z0-9_]+", section)) | set(re.findall(r"[a-z0-9-]+", section))
    assert sorted(wanted - words) == []


def test_there_is_no_section_of_a_route_that_is_not() -> None:
    described = {heading for heading in SECTIONS if re.match(r"[A-Z]+ /", heading)}
    assert described == {f"{route.method} {route.path}" for route in ROUTES}


def test_a_change_of_an_agreement_takes_what_its_making_takes_but_the_name() -> None:
    fields = {route.method: names_of(route.body or {}) for route in ROUTES if route.path.startswith("/v1/peers")}
    assert fields["POST"] - fields["PATCH"] == {"name"}


def test_every_field_of_an_answer() -> None:
    view = migrations.view(ROW, "/v1/migrations")
    section = quoted(SECTIONS["GET /v1/migrations"])
    assert sorted({*view, *view["error"]} - section) == []
    agreement = peers.view(Peer(name="n", created_at=NOW, updated_at=NOW), {})
    assert sorted(agreement.keys() - quoted(SECTIONS["POST /v1/peers"])) == []
    hosts = {field.name for field in dataclasses.fields(HostLoad)}
    assert sorted(hosts - quoted(SECTIONS["GET /v1/load"])) == []


def test_every_field_of_an_error() -> None:
    body = response(SV2MError("it failed"), "req-1").json_body["error"]
    assert sorted(name for name in body if f'"{name}"' not in SECTIONS["What holds for every call"]) == []


def test_every_rule_with_the_personas_of_its_default() -> None:
    rows = {
        cells[1].strip().strip("`"): cells[2]
        for line in SECTIONS["Policies"].splitlines()
        if (cells := line.split("|"))[1:] and "secure_migration:" in cells[1]
    }
    checks = {rule.name: rule.check_str for rule in policies.list_rules()}
    names = {persona.name for persona in personas.RULES}
    asked = [rule for rule in policies.list_rules() if rule.name not in names]
    assert sorted(rows) == sorted(rule.name for rule in asked)
    for rule in asked:
        whole = rule.check_str
        while (named := re.search(r"rule:([\w:]+)", whole)) is not None:
            whole = whole.replace(named[0], checks[named[1]])
        roles = set(re.findall(r"role:(\w+)", whole))
        said = {role for role, word in {"admin": "administrator"}.items() if word in rows[rule.name]}
        said |= {role for role in ("manager", "member", "reader") if role in rows[rule.name]}
        assert said == roles, rule.name


def test_the_sections_name_the_rules_that_the_code_asks() -> None:
    for rule in policies.list_rules():
        if not isinstance(rule, policy.DocumentedRuleDefault):
            continue
        for operation in rule.operations:
            path = operation["path"].partition("?")[0].replace("{migration_id}", "{id}")
            assert rule.name in SECTIONS[f"{operation['method']} {path}"]


def test_the_versions_are_those_of_the_code() -> None:
    assert f"secure-migration {text(MAXIMUM)}`" in PAGE
    assert f"today both are {text(MINIMUM)}" in PAGE and MINIMUM == MAXIMUM


def test_a_service_is_described() -> None:
    shown = services.view(Service(binary="b", host="h", version="v", seen_at=NOW), NOW)
    assert set(shown) <= quoted(SECTIONS["GET /v1/services"])
