# SPDX-License-Identifier: Apache-2.0
"""How long the engine waits for its modules follows from its configuration."""

from __future__ import annotations

import json
import subprocess
import sys

#: In a process of its own: the programs choose native threads before anything else is imported.
SCRIPT = """
import json
from sv2m.cmd import modules
import oslo_messaging, sv2m.conf
from oslo_config import cfg
from sv2m import errors
from sv2m.edm.brokers import Brokers

timeouts = []

def send(self, target, context, message, **how):
    timeouts.append(how["timeout"])
    raise oslo_messaging.MessagingTimeout()

oslo_messaging.Transport._send = send
conf = cfg.CONF
sv2m.conf.register(conf)
conf([], default_config_files=[])
transport = oslo_messaging.get_rpc_transport(conf, url="fake:/")
conf.set_override("volume_timeout", 3600, "km")
km = modules.services(conf, transport, Brokers(transport)).km
for call in (km.remove_imported, km.make_vmk):
    try:
        call({}, "m")
    except errors.ServiceUnavailable:
        pass
print(json.dumps(timeouts))
"""


def test_cinder_has_the_time_that_the_option_gives_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    slow, quick = json.loads(done.stdout)
    assert slow > 3600 > quick
