"""Security: how a caller says who it is, for both documents.

Empty while `ANDON_AUTH` knows only `none`. A scheme that is added here is in the document of its door, and asked for by
everything there that is not declared open.
"""

from typing import Any, Final

# Name of each scheme to its Security Scheme Object.
HTTP_SCHEMES: Final[dict[str, dict[str, Any]]] = {}
SOCKET_SCHEMES: Final[dict[str, dict[str, Any]]] = {}
