"""JWKS server: an issuer's key set on a real local HTTP server, which counts how often it is asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import msgspec


def jwk(private: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    """Write the public half of an RSA or EC key as a JWK."""
    algorithm = jwt.get_algorithm_by_name("RS256" if "RSA" in type(private).__name__ else "ES256")
    told = {**algorithm.to_jwk(private.public_key(), as_dict=True), **members}
    return told if kid is None else {**told, "kid": kid}


class KeySet:
    """What is published. Change `body` and `status` at any time."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        # Requests so far.
        self.asked = 0
        self.url = ""

    def publish(self, *keys: dict[str, Any]) -> None:
        """Publish these keys and no other."""
        self.body = msgspec.json.encode({"keys": keys})


@contextmanager
def serving() -> Iterator[KeySet]:
    """Serve for the length of a block."""
    published = KeySet()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.asked += 1
            self.send_response(published.status)
            self.send_header("Content-Length", str(len(published.body)))
            self.end_headers()
            self.wfile.write(published.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        published.url = f"http://127.0.0.1:{server.server_port}/keys"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield published
        finally:
            server.shutdown()
            thread.join()
