"""Body: a request's JSON object, read within a bound."""

from typing import Any

import msgspec
from starlette.requests import Request

from andon.errors import RequestError, TooLargeError


async def read_object(request: Request, most_bytes: int) -> dict[str, Any]:
    """Read the body as a JSON object; no body is an empty one.

    Raises RequestError for anything else, TooLargeError as soon as it is more than `most_bytes`, and Starlette's
    ClientDisconnect if the client leaves meanwhile.
    """
    body = await _read(request, most_bytes)
    if not body:
        return {}
    try:
        read = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise RequestError("invalid_json", f"The body is not JSON ({error}). Send one JSON object.") from error
    if not isinstance(read, dict):
        raise RequestError("invalid_json", "The body is JSON but no object. Send one JSON object.")
    return read


async def _read(request: Request, most_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most_bytes:
        raise _too_large(most_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
    return bytes(body)


def _too_large(most_bytes: int) -> TooLargeError:
    message = f"The body has more than {most_bytes} bytes. Send less, or raise ANDON_MAX_FRAME_BYTES."
    return TooLargeError("body_too_large", message)
