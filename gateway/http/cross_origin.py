"""Cross-origin: what browsers are told about pages of other origins (CORS).

Owns the headers. That a page may not call is the doorkeeper's word, over either door; without these headers, a page
that may call could not read the answers. Starlette's middleware touches the start of an answer alone: streams, and
the noticing of a client that leaves, are as without it.
"""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway.http.event_stream import RESPONSE_HEADER


def cross_origin(allowed_origins: tuple[str, ...]) -> list[Middleware]:
    """Return the middleware for these origins; none where there are none.

    Every request header is allowed: those of ours, and the dozen that the official SDK adds. What a browser sends by
    itself, cookies, is not allowed, and never read.
    """
    if not allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=allowed_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=(RESPONSE_HEADER, "Retry-After", "WWW-Authenticate"),
        )
    ]
