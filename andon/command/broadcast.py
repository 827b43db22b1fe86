"""A broadcast stop from the terminal: asked of any gateway, its progress shown as it goes.

Owns the one exchange over HTTP and how it is printed. It is http.client in a thread: no dependency, and no proxy of the
environment on the way to loopback.
"""

import http.client
import json
import sys
from typing import Any, Final
from urllib.parse import urlsplit

from andon.command.failure import CommandFailed

Told = dict[str, Any]

_TIMEOUT_S: Final = 60.0  # between two words of the gateway, which speaks whenever something has changed
_SECURE: Final = {"wss", "https"}
_SCHEMES: Final = {"ws", "http", *_SECURE}
_STEPS: Final = ("matched", "recorded", "acked", "upstream_closed", "settled")


def ask_to_stop_all(
    url: str, scope: Told, *, reason: str | None, token: str | None, is_dry: bool, as_json: bool
) -> Told:
    """Ask for the stop of everything in a scope; return what the gateway said last. Raises CommandFailed."""
    body: Told = {"scope": scope, "reason": reason, "dry_run": is_dry, "stream": not is_dry}
    connection = _open(url)
    try:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        connection.request("POST", "/v1/admin/stops", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status >= http.client.BAD_REQUEST:
            raise CommandFailed(_refusal(response.status, response.read()))
        if is_dry:
            told: Told = json.loads(response.read())
            return told
        return _follow(response, as_json=as_json)
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(f"no answer from {url}: {error}; ask again, of any replica") from error
    finally:
        connection.close()


def tell(told: Told, *, as_json: bool) -> None:
    """Print the gateway's last word."""
    if as_json:
        print(json.dumps(told))
    elif told["object"] == "broadcast_stop.dry_run":
        states = ", ".join(f"{count} {state}" for state, count in told["states"].items())
        print(f"would stop {told['matched']} ({states})" if told["matched"] else "would stop nothing")
    else:
        progress = told["progress"]
        took = progress["settled_s"]
        print(f"{told['id']}: {told['state']}; {_line(progress)}{'' if took is None else f', in {took:.2f} s'}")


def _open(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise CommandFailed(f"{url!r} is no address of a gateway; it looks like http://127.0.0.1:21100")
    kind = http.client.HTTPSConnection if parts.scheme in _SECURE else http.client.HTTPConnection
    return kind(parts.netloc.rpartition("@")[2], timeout=_TIMEOUT_S)


def _follow(response: http.client.HTTPResponse, *, as_json: bool) -> Told:
    """Read the events to the end; show each but the last on a terminal's standard error."""
    last: Told | None = None
    for line in response:
        if line.startswith(b"data: "):
            last = json.loads(line.removeprefix(b"data: "))
            if last is not None and not as_json:
                sys.stderr.write(f"{_line(last['progress'])}\n")
    if last is None or last["state"] == "running":
        raise CommandFailed(f"the gateway ended its answer early; {_where(last)}")
    return last


def _line(progress: Told) -> str:
    steps = ", ".join(f"{step.replace('_', ' ')} {progress[step]}" for step in _STEPS)
    more = {name: progress[name] for name in ("already_ended", "failed") if progress[name]}
    return steps + "".join(f", {name.replace('_', ' ')} {count}" for name, count in more.items())


def _where(last: Told | None) -> str:
    if last is None:
        return "ask again, of any replica"
    return f"the stop goes on: GET /v1/admin/stops/{last['id']} on any replica"


def _refusal(status: int, body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return f"{error['message']} ({error['code']})"
    except (ValueError, TypeError, KeyError):
        return f"the server answered HTTP {status}"
