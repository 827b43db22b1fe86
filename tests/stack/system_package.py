"""System package: a program of the distribution's, installed where it is missing.

Owns its being there: where it is missing and we are root on Debian, it is installed; where that cannot be, the test is
skipped and says why. Processes that install at once wait for one another.

`python -m tests.stack.system_package` installs them all ahead of the tests (`make test` does), whose time limits are
not made for that.
"""

import os
import shutil
import subprocess
import sys
from typing import Final

import msgspec
import pytest

_INSTALL_S: Final = 500
_LOCK_S: Final = 400
_SYSTEM_PATH: Final = "/usr/sbin:/usr/local/sbin:/sbin"


class SystemPackage(msgspec.Struct, frozen=True):
    """A package, and what its program may be called."""

    name: str
    programs: tuple[str, ...]

    def find(self) -> str | None:
        """Return the path of its program, if that is there."""
        path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
        return next(filter(None, (shutil.which(name, path=path) for name in self.programs)), None)


NGINX: Final = SystemPackage("nginx-light", ("nginx",))
CHROMIUM: Final = SystemPackage("chromium", ("chromium", "chromium-browser", "google-chrome"))


def program(package: SystemPackage) -> str:
    """Return the path of its program; install it if that can be done, skip the test otherwise."""
    if (found := package.find()) is not None:
        return found
    told = install(package)
    if (found := package.find()) is None:
        pytest.skip(f"{package.programs[0]} is missing, and apt-get install {package.name} did not help: {told}")
    return found


def install(package: SystemPackage) -> str:
    """Install it; return what was complained of."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "only root on Debian could install it"
    words = ("install", "-y", "--no-install-recommends", package.name)
    told = _apt(*words)
    if package.find() is None:
        _apt("update")  # a fresh system has no lists yet
        told = _apt(*words)
    return told[-300:]


def _apt(*words: str) -> str:
    """Run apt-get; return what it complained of. No service that comes with a package is started (`RUNLEVEL`)."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "-o", f"DPkg::Lock::Timeout={_LOCK_S}", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=_INSTALL_S, check=False).stderr


if __name__ == "__main__":
    for missing in (each for each in (NGINX, CHROMIUM) if each.find() is None):
        complaint = install(missing)
        if missing.find() is None:
            sys.stderr.write(f"{missing.name} is missing, so its tests will be skipped: {complaint}\n")
