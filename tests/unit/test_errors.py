# SPDX-License-Identifier: Apache-2.0
"""What an error says is one line, whoever's words it quotes; and the same on the other side of RPC."""

from __future__ import annotations

import pytest
from oslo_messaging._drivers import common

from sv2m import errors

FORGED = "it says \x1b[2J\x1b]0;mine\x07\r\n2026-11-27 ERROR all is well \u202egnorw \ud800"


@pytest.mark.parametrize("kind", [errors.HypervisorError, errors.MalformedMessage, errors.SV2MError])
def test_a_message_neither_begins_a_line_nor_tells_a_terminal_what_to_do(kind: type[errors.SV2MError]) -> None:
    error = kind(FORGED)
    assert error.message == str(error) == "it says  [2J ]0;mine   2026-11-27 ERROR all is well  gnorw  "
    assert error.message.isprintable()


def test_a_message_has_an_end() -> None:
    assert len(errors.HypervisorError("x" * (1 << 20)).message) < 5000


def test_what_can_be_read_stays_as_it_is() -> None:
    said = "no room for 2 GiB: 仮想マシン, naïve, 'a' < \"b\" — see the log"
    assert errors.HypervisorError(said).message == said


def test_it_crosses_rpc_as_it_is() -> None:
    error = errors.HypervisorError(FORGED, code="gone", remedy="Look there.")
    sent = common.serialize_remote_exception((type(error), error, None))
    received = common.deserialize_remote_exception(sent, ["sv2m.errors"])
    assert isinstance(received, errors.HypervisorError)
    assert (received.code, received.remedy) == ("gone", "Look there.")
    assert received.message == error.message
