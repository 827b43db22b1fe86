"""Finding the function: what will never do stops the start with one clear line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.upstream.errors import UpstreamMisconfiguredError
from worker.upstream.own.function import find_function

_MODULE = """
import functools

async def answer(request):
    yield "x"

async def coroutine(request): ...

def generator(request):
    yield "x"

def plain(request): ...

async def greedy(request, more):
    yield "x"

class Agent:
    async def __call__(self, request):
        yield "x"

agent = Agent()
partial = functools.partial(greedy, more=1)
number = 1
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a module in a working directory that is not in `sys.path`, and go there."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(_MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import os.no_such_thing")
    (tmp_path / f"{name}_raising.py").write_text("raise RuntimeError('no key:\\n sk-very-secret-key')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


@pytest.mark.parametrize("function", ["answer", "agent", "partial"])
def test_an_async_generator_function_is_found_in_the_working_directory(module: str, function: str) -> None:
    """A function, an object with such a `__call__`, a partial; the directory comes last in the path."""
    found = find_function(f"{module}:{function}")
    assert found.name == f"{module}:{function}"
    assert sys.path[-1] == str(Path.cwd())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("{0}:missing", "{0} has no missing"),
        ("no_such_{0}:f", "there is no module no_such_{0}, neither installed nor in "),
        ("no_such_{0}.inner:f", "there is no module no_such_{0}, neither installed nor in "),
        ("{0}_broken:f", "importing {0}_broken failed with ModuleNotFoundError: No module named 'os.no_such_thing'"),
        ("{0}_raising:f", "importing {0}_raising failed with RuntimeError: no key: [redacted]"),
        ("{0}:coroutine", "a coroutine function is not an async generator function: write `async def` with a `yield`"),
        ("{0}:generator", "a plain generator function is not an async generator function"),
        ("{0}:plain", "a function without `yield` is not an async generator function"),
        ("{0}:number", "an object of type int is not an async generator function"),
        ("{0}:greedy", "it must take the request as its only required argument (missing a required argument: 'more')"),
    ],
)
def test_what_will_not_do_is_named_in_one_line(module: str, name: str, complaint: str) -> None:
    """The setting, and what is wrong with it."""
    with pytest.raises(UpstreamMisconfiguredError) as refused:
        find_function(name.format(module))
    message = str(refused.value)
    assert message.startswith(f"ANDON_UPSTREAM_API={name.format(module)}: {complaint.format(module)}")
    assert "\n" not in message


def test_the_worker_says_so_and_exits_with_1(tmp_path: Path) -> None:
    """One line on standard error, no traceback."""
    root = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANDON_")}
    env = {**kept, "PYTHONPATH": root, "ANDON_UPSTREAM_API": "no_such_package.chains:answer"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "andon worker: ANDON_UPSTREAM_API=no_such_package.chains:answer: there is no module no_such_package, "
        f"neither installed nor in {tmp_path}\n"
    )
