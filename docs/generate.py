"""Writes what docs/ repeats of the code: reference.md from its tables, openapi.json and asyncapi.json from its types.

`python docs/generate.py` writes them; `python docs/generate.py --check` fails if one is not what the code says.
"""

import sys
from pathlib import Path

from andon import keys, pieces
from andon.closecodes import CLOSE_CODES
from andon.doctor.examination import table as doctor_checks
from andon.settings import Settings
from gateway.app import Gateway, create_app

_HERE = Path(__file__).parent


def _bounds(name: str) -> str:
    bounds = {
        kind: getattr(item, kind)
        for item in Settings.model_fields[name].metadata
        for kind in ("ge", "le", "pattern")
        if hasattr(item, kind)
    }
    if bounds.get("pattern"):
        return f"`{bounds['pattern']}`".replace("|", "\\|")
    if "ge" in bounds or "le" in bounds:
        return f"{bounds.get('ge', '')} to {bounds.get('le', '')}"
    return ""


def _settings() -> str:
    rows = ["| setting | meaning | default | bounds |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        rows.append(f"| `ANDON_{name.upper()}` | {field.description} | {default} | {_bounds(name)} |")
    return "\n".join(rows)


def _close_codes() -> str:
    rows = ["| code | reason | meaning | what a client should do |", "|---|---|---|---|"]
    rows += [
        f"| {int(code)} | `{reason}` | {meaning} | {advice} |"
        for code, (reason, meaning, advice) in CLOSE_CODES.items()
    ]
    return "\n".join(rows)


def _causes() -> str:
    source = Path(pieces.__file__).read_text(encoding="utf-8")
    rows = ["| `response.error.type` | meaning |", "|---|---|"]
    for cause in pieces.Cause:
        comment = source.split(f'"{cause}"', 1)[1].split("\n", 1)[0].strip().removeprefix("# ")
        rows.append(f"| `{cause}` | {comment} |")
    return "\n".join(rows)


def _keys() -> str:
    lines = (keys.__doc__ or "").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def _checks() -> str:
    rows = ["| check | what it asks |", "|---|---|"]
    rows += [f"| {name} | {asks} |" for name, asks in doctor_checks()]
    return "\n".join(rows)


_PAGE = """\
# Reference

Written by `docs/generate.py` from the code's own tables; do not edit.

## Settings

Environment variables, read once at the start. An unknown `ANDON_` variable stops the start and names the nearest known
one. A worker also reads `OPENAI_BASE_URL` and `OPENAI_API_KEY`, as the OpenAI SDK does.

{settings}

## Close codes

{close_codes}

## Causes of a failed response

`response.error.code` is one of OpenAI's own literals; the precise cause is `response.error.type`.

{causes}

## Checks of `andon doctor`

In the order in which they are made; one that needs another which failed is skipped, and says so
([operating.md](operating.md#the-doctor)).

{checks}

## Keys and channels in Redis

T is a session's tag, R a response id, W a worker id, G a gateway id, B a broadcast id.

{keys}
"""


def render() -> dict[str, bytes]:
    """Render each file that is written here."""
    page = _PAGE.format(
        settings=_settings(), close_codes=_close_codes(), causes=_causes(), checks=_checks(), keys=_keys()
    )
    # Not opened: the routes are asked what they are, and Redis is not.
    contract = create_app(Gateway(Settings())).state.contract
    return {
        "reference.md": page.encode(),
        "openapi.json": contract.openapi,
        "asyncapi.json": contract.asyncapi,
    }


def main() -> int:
    """Write the files, or check them."""
    if "--check" not in sys.argv:
        for name, text in render().items():
            (_HERE / name).write_bytes(text)
        return 0
    stale = [name for name, text in render().items() if not _is(_HERE / name, text)]
    for name in stale:
        sys.stderr.write(f"docs/{name} is not what the code says: run `python docs/generate.py`\n")
    return 1 if stale else 0


def _is(path: Path, text: bytes) -> bool:
    return path.exists() and path.read_bytes() == text


if __name__ == "__main__":
    sys.exit(main())
