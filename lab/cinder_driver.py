# SPDX-License-Identifier: Apache-2.0
"""Cinder driver of the lab: the NFS driver, with raw LUKS containers as on block storage.

The stock driver makes them LUKS inside qcow2 but tells Nova they are raw, and Nova formats over them.
"""

from __future__ import annotations

import binascii
import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

from castellan import key_manager
from cinder import interface  # type: ignore[import-untyped]
from cinder.image import image_utils  # type: ignore[import-untyped]
from cinder.volume import volume_utils  # type: ignore[import-untyped]
from cinder.volume.drivers import nfs  # type: ignore[import-untyped]
from oslo_concurrency import processutils
from oslo_config import cfg
from oslo_utils import units

#: Bytes that qemu-img puts before the data of a LUKS1 container; Cinder refuses a file larger
#: than the volume.
HEADER = 2_068_480
#: The key is random, so that stretching it adds nothing but seconds to every start of a guest.
ITERATION_MS = 10
_ATTEMPTS = 10


@interface.volumedriver
class LuksRawNfsDriver(nfs.NfsDriver):  # type: ignore[misc]  # Cinder has no type hints
    """NFS driver with encrypted volumes of exactly their size."""

    @contextlib.contextmanager
    def _passphrase(self, context: Any, key_id: str) -> Iterator[str]:
        """A file that holds the passphrase while it is needed: the key in hexadecimal, as in Nova."""
        encoded = key_manager.API(cfg.CONF).get(context, key_id).get_encoded()
        if encoded is None:
            raise ValueError(f"the key manager has no key in {key_id}")
        with tempfile.NamedTemporaryFile(dir=volume_utils.image_conversion_dir()) as file:
            file.write(binascii.hexlify(encoded))
            file.flush()
            yield f"secret,id=key,file={file.name}"

    def _create_encrypted_volume_file(
        self, path: str, size_gb: int, encryption: dict[str, Any], context: Any
    ) -> None:
        cipher = image_utils.decode_cipher(encryption["cipher"], encryption["key_size"])
        options = (
            f"key-secret=key,iter-time={ITERATION_MS},cipher-alg={cipher['cipher_alg']},"
            f"cipher-mode={cipher['cipher_mode']},ivgen-alg={cipher['ivgen_alg']}"
        )
        size = str(size_gb * units.Gi - HEADER)
        with self._passphrase(context, encryption["encryption_key_id"]) as secret:
            for attempt in range(1, _ATTEMPTS + 1):
                command = ("qemu-img", "create", "-f", "luks", "--object", secret, "-o", options, path, size)
                try:
                    self._execute(*command, run_as_root=self._execute_as_root)
                except processutils.ProcessExecutionError as error:
                    # QEMU 7.2 measures the CPU first, and now and then fails at that when the time is short.
                    if "CPU usage" not in str(error) or attempt == _ATTEMPTS:
                        raise
                else:
                    return

    def copy_image_to_encrypted_volume(
        self, context: Any, volume: Any, image_service: Any, image_id: str, disable_sparse: bool = False
    ) -> None:
        """Write the image's data into the container that create_volume made."""
        with (
            tempfile.NamedTemporaryFile(dir=volume_utils.image_conversion_dir()) as raw,
            self._passphrase(context, volume.encryption_key_id) as secret,
        ):
            block = self.configuration.volume_dd_blocksize
            image_utils.fetch_to_raw(context, image_service, image_id, raw.name, block, size=volume.size)
            self._execute(
                *("qemu-img", "convert", "-n", "--object", secret),
                *("--image-opts", f"driver=raw,file.filename={raw.name}"),
                *(
                    "--target-image-opts",
                    f"driver=luks,key-secret=key,file.filename={self.local_path(volume)}",
                ),
                run_as_root=self._execute_as_root,
            )
