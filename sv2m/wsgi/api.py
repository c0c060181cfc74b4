# SPDX-License-Identifier: Apache-2.0
"""``sv2m-api`` under a web server: ``--module sv2m.wsgi.api:application``.

The web server's own arguments are none of ours; the configuration is found where oslo.config looks for it, or
in the directory that OS_SV2M_CONFIG_DIR names.
"""

from __future__ import annotations

import os

from sv2m.api import deploy
from sv2m.cmd import assembly, program


def arguments(environ: dict[str, str]) -> list[str]:
    """The command line that the environment stands for."""
    directory = environ.get("OS_SV2M_CONFIG_DIR")
    return [] if directory is None else ["--config-file", os.path.join(directory, "sv2m.conf")]


def _make() -> deploy.WSGIApplication:
    # oslo.log names a file after the outermost one of the process, and a web server's import of a module has none.
    conf = program.configure(arguments(dict(os.environ)), "sv2m-api.log")
    program.require(conf, "cloud_name")
    return assembly.api(conf)


application = _make()
