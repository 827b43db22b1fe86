"""The stack whose model is `tests.own.functions:answer`, and what those functions noted."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.stack.stack import Stack

_NOTE_S = 20.0


def own_env(notes: Path) -> dict[str, str]:
    """Return what makes a worker run these functions; none of the model server's settings is needed."""
    notes.mkdir()
    return {
        "ANDON_UPSTREAM_API": "tests.own.functions:answer",
        "OWN_NOTES": str(notes),
        "OPENAI_API_KEY": "",
        "OPENAI_BASE_URL": "",
    }


@dataclass(frozen=True, slots=True)
class Act:
    """One request, and what its function noted."""

    notes: Path
    do: str
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def body(self) -> dict[str, Any]:
        """The members of the create."""
        return {"model": "own-model", "input": "Hi", "metadata": {"do": self.do, "key": self.key}}

    def noted(self, what: str) -> bool:
        """Tell whether this has happened."""
        return (self.notes / f"{self.key}.{what}").exists()

    async def note(self, what: str) -> Any:
        """Wait until this has happened, and return what was told of it."""
        deadline = time.monotonic() + _NOTE_S
        while not self.noted(what):
            assert time.monotonic() < deadline, f"{self.do} never came to {what}"
            await asyncio.sleep(0.01)
        return msgspec.json.decode((self.notes / f"{self.key}.{what}").read_bytes())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_own_source_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stack, Path]]:
    home = tmp_path_factory.mktemp("own-source-stack")
    async with Stack(home, gateways=2, workers=1, env=own_env(home / "notes")) as stack:
        yield stack, home / "notes"


@pytest.fixture
async def own(_shared_own_source_stack: tuple[Stack, Path]) -> AsyncIterator[Stack]:
    """Lend the shared stack whose model is a function."""
    yield _shared_own_source_stack[0]
    await _shared_own_source_stack[0].check_quiet()


@pytest.fixture
def notes(_shared_own_source_stack: tuple[Stack, Path]) -> Path:
    """Lend the directory of what the functions of the shared stack noted."""
    return _shared_own_source_stack[1]
