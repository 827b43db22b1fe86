"""One source: what the wheel ships for the pages is `clients/js` itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gateway.javascript import client_home
from tests.javascript.runner import CLIENT, run_tests
from tests.node.node import Node

_ROOT = CLIENT.parents[1]
_PLACE = "gateway/javascript/"
_BUILD = "import sys, hatchling.build as build; print(build.build_wheel(sys.argv[1]))"
_BUILD_S = 60


def _modules() -> dict[str, bytes]:
    """Return the client's modules, by their names below `clients/js`."""
    paths = [CLIENT / "index.js", CLIENT / "ai-sdk.js", *(CLIENT / "src").rglob("*.js")]
    return {path.relative_to(CLIENT).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Build the wheel."""
    subprocess.run([sys.executable, "-c", _BUILD, tmp_path], cwd=_ROOT, check=True, timeout=_BUILD_S)
    (built,) = tmp_path.glob("*.whl")
    return built


@pytest.mark.timeout(120)
async def test_the_wheel_ships_the_very_modules(node: Node, wheel: Path, tmp_path: Path) -> None:
    """All of them, byte for byte, and nothing else of the client's directory; a program imports them from there."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(_PLACE) and not name.endswith(".py")]
        assert {name.removeprefix(_PLACE): archive.read(name) for name in names} == _modules()
        archive.extractall(tmp_path / "installed")
    program = tmp_path / "import.test.mjs"
    program.write_text(
        'import assert from "node:assert/strict";\nimport { test } from "node:test";\n'
        'import { Client } from "./installed/gateway/javascript/index.js";\n'
        'import { AndonChatTransport } from "./installed/gateway/javascript/ai-sdk.js";\n'
        'test("it is whole", () => assert.ok(Client && AndonChatTransport));\n'
    )
    await run_tests(node, program)


def test_a_checkout_serves_its_own_sources() -> None:
    """No second copy lies about that could be the older one."""
    assert client_home() == CLIENT
