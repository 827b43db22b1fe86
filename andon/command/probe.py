"""One plain HTTP GET: is that server ready, and what does that meter say.

Owns nothing. It is http.client in a thread: no dependency, and no proxy of the environment on the way to loopback.
"""

import asyncio
import http.client
from urllib.parse import urlsplit


async def get(url: str, *, timeout_s: float) -> tuple[int, bytes]:
    """Return status and body. Raises OSError when nobody answers like an HTTP server.

    Cancelling it is safe; its thread ends by itself within the timeout.
    """
    return await asyncio.to_thread(_get, url, timeout_s)


async def answers_200(url: str) -> bool:
    """Tell whether the server at `url` is there and content."""
    try:
        status, _ = await get(url, timeout_s=1.0)
    except OSError:
        return False
    return status == http.HTTPStatus.OK


def _get(url: str, timeout_s: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(f"{url} does not answer like an HTTP server: {error!r}") from error
    finally:
        connection.close()
