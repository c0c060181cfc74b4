# SPDX-License-Identifier: Apache-2.0
"""Only CAs are trusted for evidence: of a certificate that is trusted by itself nobody asks whether it was revoked."""

from __future__ import annotations

from pathlib import Path

import pytest
from osc_lib import exceptions

from sv2m.cli import files
from tests.unit.cmm.authority import CLOUD, root


@pytest.mark.parametrize("option", ["--ca", "--ca-file"])
def test_a_bundle_of_chain_and_root_is_refused(tmp_path: Path, option: str) -> None:
    ca = root()
    leaf = ca.certify(CLOUD)
    file = tmp_path / "bundle.pem"
    file.write_text(leaf.pem + ca.pem)
    with pytest.raises(exceptions.CommandError, match=r"bundle\.pem.*not a CA's") as error:
        files.anchors(option, str(file))
    assert f"{leaf.certificate.serial_number:x}" in str(error.value)
    file.write_text(ca.pem)
    assert files.anchors(option, str(file)) == [ca.certificate]
