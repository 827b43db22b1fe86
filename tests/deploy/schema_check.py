"""Schema check: whether an object is one that a Kubernetes API server would take.

Owns which schema judges what. Kubernetes' own kinds: its published OpenAPI schemas, strict (no unknown field), as
PyPI's kubernetes-validate carries them. Custom resources: `schemas/`, written by hand from their references for the
part that k8s/ uses, since no package for this Python carries them; they refuse whatever they do not know.
"""

import json
from pathlib import Path

import jsonschema
import kubernetes_validate

from .rendered import Manifest

# The oldest that has all that is used (preStop sleep), and the newest that the package knows.
VERSIONS = ("1.30", "1.37")
_SCHEMAS = Path(__file__).parent / "schemas"


def check(manifest: Manifest) -> None:
    """Raise jsonschema's ValidationError, with the place, if it is not valid in every version."""
    own = _SCHEMAS / f"{manifest['kind']}.json"
    if own.exists():
        jsonschema.validate(manifest, json.loads(own.read_text(encoding="utf-8")))
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)
