"""Rendered: the overlays as kustomize makes them, object by object.

Owns the rendering, by the kustomize within kubectl or by its own program. Does not own what must be true of it.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from .tools import ROOT, output, tool

Manifest = dict[str, Any]

OVERLAYS = ("dev", "production", "redis-cluster", "gateway-api-keda")


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    """Return the objects of an overlay."""
    program = tool("kubectl", "kustomize", remedy="install kubectl, 1.27 or newer")
    words = ["kustomize"] if program.endswith("kubectl") else ["build"]
    return tuple(yaml.safe_load_all(output(program, *words, str(ROOT / "k8s" / "overlays" / name))))


def of_kind(manifests: tuple[Manifest, ...], kind: str, name: str | None = None) -> list[Manifest]:
    """Return the objects of a kind, or the one of a name."""
    return [m for m in manifests if m["kind"] == kind and name in {None, m["metadata"]["name"]}]


def the(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """Return the one object of this kind and name."""
    (found,) = of_kind(manifests, kind, name)
    return found


def workloads(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Give each thing that runs pods, as its name and its pod's template."""
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


def settings_of(manifests: tuple[Manifest, ...], pod: Manifest) -> dict[str, Any]:
    """Return the environment of a pod's first container: values, and references where a value comes from a secret."""
    (container,) = pod["spec"]["containers"]
    env: dict[str, Any] = {}
    for source in container.get("envFrom", []):
        env |= the(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", []):
        env[variable["name"]] = variable.get("value", variable.get("valueFrom"))
    return env
