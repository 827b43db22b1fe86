"""Every query of the dashboard, the alerts and the autoscalers is one, and names what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.metrics import page

_K8S = Path(__file__).parents[2] / "k8s" / "components"
_BOARD = _K8S / "monitoring" / "dashboards" / "andon.json"
# What Prometheus puts to each series: by its configuration in Compose, by its operator in Kubernetes.
_OF_TARGETS = frozenset({"job", "instance", "namespace", "pod", "container", "service", "endpoint"})
_OF_PROCESSES = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "up"}
# Grafana puts these in.
_VARIABLES = {"$__rate_interval": "5m", "$namespace": "andon"}
_COUNTING = frozenset({"rate", "increase", "irate"})


def _panels() -> list[dict[str, Any]]:
    board = json.loads(_BOARD.read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def _queries_of(manifest: dict[str, Any]) -> Iterator[str]:
    """Give each query of an object, and each metric that is named without one."""
    match manifest["kind"]:
        case "PrometheusRule":
            for group in manifest["spec"]["groups"]:
                yield from (rule["expr"] for rule in group["rules"])
        case "ScaledObject":
            triggers = manifest["spec"]["triggers"]
            yield from (each["metadata"]["query"] for each in triggers if "query" in each["metadata"])
        case "HorizontalPodAutoscaler":
            named = (each.get("pods") or each.get("external") for each in manifest["spec"]["metrics"])
            yield from (each["metric"]["name"] for each in named if each)


def _queries() -> Iterator[tuple[str, str]]:
    """Give each query with where it stands."""
    for panel in _panels():
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    for file in sorted(_K8S.rglob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            yield from ((file.name, query) for query in _queries_of(manifest))


QUERIES = list(_queries())


def _put_in(query: str) -> str:
    for name, value in _VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


class Reading:
    """What a query asks for. `problems`: in words, what cannot be right of it."""

    def __init__(self, query: str) -> None:
        # Series by name, with the labels that are matched or grouped by.
        self.selected: list[tuple[str, dict[str, tuple[str, str]]]] = []
        self._grouped: set[str] = set()
        # Names under a function that wants a counter, and all others.
        self._counted: set[str] = set()
        self._visit(promql_parser.parse(_put_in(query)))

    def _visit(self, expr: Any, *, is_counted: bool = False) -> None:
        match expr:
            case promql_parser.VectorSelector():
                matchers = {m.name: (str(m.op), m.value) for m in expr.matchers.matchers}
                name = expr.name or matchers.pop("__name__")[1]
                self.selected.append((name, matchers))
                if is_counted:
                    self._counted.add(name)
            case promql_parser.MatrixSelector():
                self._visit(expr.vector_selector, is_counted=is_counted)
            case promql_parser.AggregateExpr():
                self._grouped.update(expr.modifier.labels if expr.modifier else ())
                self._visit(expr.expr)
            case promql_parser.BinaryExpr():
                self._visit(expr.lhs)
                self._visit(expr.rhs)
            case promql_parser.Call():
                for argument in expr.args:
                    self._visit(argument, is_counted=expr.func.name in _COUNTING)
            case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
                self._visit(expr.expr)
            case _:
                pass

    @property
    def problems(self) -> list[str]:
        """Tell what it names that is not there, and what it takes for what it is not."""
        found = []
        known = page.series()
        for name, matchers in self.selected:
            if name in _OF_PROCESSES:
                continue
            if name not in known:
                found.append(f"there is no series {name}")
                continue
            row = known[name]
            is_counter = row.kind in {"counter", "histogram"}
            if is_counter != (name in self._counted):
                found.append(f"{name} is a {row.kind}")
            unknown = (matchers.keys() | self._grouped) - _OF_TARGETS - row.labels
            found += [f"{name} has no label {label}" for label in unknown]
            for label, (_, value) in matchers.items():
                values = page.label_values().get((re.sub(r"_(bucket|sum|count)$", "", name), label))
                if values is not None and value not in values:
                    found.append(f"{name} has no {label} {value}")
        return found


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[f"{place}-{n}" for n, (place, _) in enumerate(QUERIES)])
def test_what_a_query_names_is_there(place: str, query: str) -> None:
    """Metrics, a histogram's series, labels and their values; and only what counts is taken the rate of."""
    reading = Reading(query)
    assert reading.selected, place
    assert reading.problems == [], place


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sum(andon_socket)", "there is no series andon_socket"),
        ("rate(andon_stop_to_closed_seconds[5m])", "there is no series andon_stop_to_closed_seconds"),
        ("sum by (reason) (rate(andon_stops_total[5m]))", "andon_stops_total has no label reason"),
        ('rate(andon_stops_total{path="rumour"}[5m])', "andon_stops_total has no path rumour"),
        ("rate(andon_sockets[5m])", "andon_sockets is a gauge"),
        ("sum(andon_stops_total)", "andon_stops_total is a counter"),
    ],
)
def test_a_query_that_is_wrong_is_found(query: str, problem: str) -> None:
    """Or the test above shows nothing."""
    assert Reading(query).problems == [problem]


def test_what_is_no_query_is_found() -> None:
    """A missing bracket, too."""
    with pytest.raises(ValueError, match=r"unclosed|unexpected|parse"):
        Reading("sum(rate(andon_stops_total[5m])")


def test_every_metric_of_ours_is_looked_at_somewhere() -> None:
    """What nobody looks at need not be counted."""
    named = {name for _, query in QUERIES for name, _ in Reading(query).selected}
    looked_at = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert set(page.rows()) <= looked_at


def test_the_dashboard_stands_by_itself() -> None:
    """Its panels do not overlap, have ids of their own, say what they show, and ask the source that is chosen."""
    panels = json.loads(_BOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    for panel in _panels():
        assert panel["description"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
