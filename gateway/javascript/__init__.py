"""The JavaScript client's modules, for the pages to import: `clients/js` itself, shipped within the wheel.

Owns where they are: beside this file in an installed wheel, and in `clients/js` in a checkout, where there is no second
copy. Does not own serving them.
"""

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_CHECKOUT: Final = _HERE.parents[1] / "clients" / "js"


def client_home() -> Path:
    """Return the directory that holds `index.js` and `src/`, whose imports are relative."""
    return _HERE if (_HERE / "index.js").exists() else _CHECKOUT
