"""A llama-server, built from the source distribution that holds its sources.

Owns the build's options. Does not own where the result is kept (`bench.real.cache`).

Built here and not taken from a wheel: the wheels there are were made for other processors (one ends with SIGILL where
its instructions are missing), and none comes from llama.cpp's own people.
"""

import os
import shutil
from pathlib import Path

from bench.real.part import SERVER_SOURCE, RealError, fetch, run

_BUILD_S = 3600
_COMPILERS = ("c++", "g++", "clang++")  # the names that cmake looks for
_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    # Most of the build is the HTTP server's own C++, whose speed is of no account here; the arithmetic is C.
    "CMAKE_CXX_FLAGS_RELEASE": "-O1 -DNDEBUG",
    "BUILD_SHARED_LIBS": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",  # it would be downloaded during the build
    "GGML_CCACHE": "OFF",
}


def build_server(work: Path, made: Path) -> None:
    """Build the one program into the directory `made`, with `work` for the rest. Raises RealError."""
    if shutil.which("cmake") is None or not (os.environ.get("CXX") or any(map(shutil.which, _COMPILERS))):
        raise RealError("llama-server is built from source: install cmake and a C++ compiler, and run again")
    downloads, source, build = work / "downloads", work / "source", work / "build"
    for directory in (downloads, source):
        directory.mkdir()
    archive = fetch(SERVER_SOURCE, downloads)
    shutil.unpack_archive(archive, source)
    sources = next(source.glob("*/vendor/llama.cpp"), None)
    if sources is None:
        raise RealError(f"{archive.name} does not hold llama.cpp's sources")
    generator = ("-G", "Ninja") if shutil.which("ninja") else ()
    options = tuple(f"-D{name}={value}" for name, value in _OPTIONS.items())
    configure = ("cmake", "-S", str(sources), "-B", str(build), *generator, *options)
    run(configure, what="cmake's configuration of llama.cpp", timeout_s=_BUILD_S)
    jobs = str(os.cpu_count() or 1)
    make = ("cmake", "--build", str(build), "--target", "llama-server", "--parallel", jobs)
    run(make, what="the build of llama-server", timeout_s=_BUILD_S)
    shutil.copy2(build / "bin" / "llama-server", made)
