"""A model hub on loopback that refuses everything in one way, as the real one words it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def refusing_hub(status: int, code: str) -> Iterator[str]:
    """Serve a hub that answers every file with a status and an error code; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            at_home = self.path == "/"
            self.send_response(200 if at_home else status)
            if code and not at_home:
                self.send_header("X-Error-Code", code)
                self.send_header("X-Error-Message", "refused")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
