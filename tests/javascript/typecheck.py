"""Typecheck: the JavaScript client's types, by the pinned TypeScript.

Owns three things: the sources are checked as strictly as TypeScript can; `clients/js/types`, which TypeScript's users
read instead of the sources' comments, is what those say; the transport is what both majors of `ai` ask for.

`python -m tests.javascript.typecheck` checks (`make types` does); with `--write` it writes `clients/js/types` anew.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.javascript.runner import CLIENT
from tests.node.node import Node, find

TYPES = CLIENT / "types"
_CONSUMER = Path(__file__).with_name("consumer.ts")
_CHECK_S = 120


def emit(node: Node, target: Path) -> str:
    """Check the sources and write their types into a directory; return what is wrong with them, in words."""
    return _tsc(node, "-p", str(CLIENT), "--outDir", str(target))


def check(node: Node) -> str:
    """Return what is wrong, in words; nothing if nothing is."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "types"
        found = emit(node, target)
        if not found and _texts(target) != _texts(TYPES):
            found = "clients/js/types is not what the sources say: python -m tests.javascript.typecheck --write"
        return found or _consumer(node, Path(directory))


def _texts(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*.d.ts")}


def _consumer(node: Node, directory: Path) -> str:
    """Check a program that uses the types as they are shipped."""
    modules = node.home / "node_modules"
    paths = {"ai6": modules / "ai6", "ai7": modules / "ai7", "andon-client": TYPES / "index.d.ts"}
    paths["andon-client/ai-sdk"] = TYPES / "ai-sdk.d.ts"
    options = {
        "target": "es2022", "module": "esnext", "moduleResolution": "bundler", "lib": ["es2023", "dom", "dom.iterable"],
        "strict": True, "noEmit": True, "skipLibCheck": True, "types": [],
        "paths": {name: [str(path)] for name, path in paths.items()},
    }  # fmt: skip
    config = directory / "tsconfig.json"
    config.write_text(json.dumps({"compilerOptions": options, "files": [str(_CONSUMER)]}))
    return _tsc(node, "-p", str(config))


def _tsc(node: Node, *args: str) -> str:
    tsc = node.home / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [node.binary, tsc, *args], capture_output=True, text=True, timeout=_CHECK_S, check=False, cwd=CLIENT
    )
    return f"{done.stdout}{done.stderr}" or "tsc failed without a word" if done.returncode else ""


if __name__ == "__main__":
    sys.exit((emit(find(), TYPES) if "--write" in sys.argv else check(find())) or 0)
