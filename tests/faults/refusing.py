# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.faults.refusing PORT`: a service that is out of order: it answers everything with 500."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class OutOfOrder(BaseHTTPRequestHandler):
    def answer(self) -> None:
        """500, whatever was asked."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

    def log_message(self, format: str, *arguments: object) -> None:
        sys.stdout.write(f"{format % arguments}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), OutOfOrder).serve_forever()
