"""Known names: the settings and metrics that files of a deployment may name.

Owns where they are listed: settings in `andon.settings`, metrics in docs/metrics.md.
"""

import re

from andon.settings import Settings

from .tools import ROOT

# Named by the deployments, and not in `Settings` yet. A name that is in both is to be taken out here.
PENDING: frozenset[str] = frozenset()
# OpenTelemetry's own, of those that its SDK and `andon.exporting` read (docs/traces.md).
TRACES = frozenset(
    {
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
    }
)
UPSTREAM = frozenset({"OPENAI_API_KEY", "OPENAI_BASE_URL"})


def settings() -> frozenset[str]:
    """Return the names of all environment variables that a gateway or worker knows."""
    return frozenset(f"ANDON_{name.upper()}" for name in Settings.model_fields)


def metrics() -> frozenset[str]:
    """Return the names of all metrics: the first column of the tables of docs/metrics.md."""
    return frozenset(re.findall(r"(?m)^\| `(andon_\w+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))


def metrics_in(text: str) -> frozenset[str]:
    """Return the metrics that a text names, those of a histogram's series without their ending."""
    found = re.findall(r"\bandon_[a-z_]+[a-z]\b", text)
    return frozenset(re.sub(r"_(bucket|count|sum)$", "", name) for name in found)
