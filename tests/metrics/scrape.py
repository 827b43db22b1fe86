"""Scrape: what Prometheus gets of a process, parsed by its own client library.

Owns the asking and the parsing. Does not own what should be in it.
"""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.stack.process import Process
from tests.stack.stack import Gateway


class Scrape:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        # A family's name with its kind; a counter's as it is written, with its `_total`.
        self.kinds: dict[str, str] = {}
        # Of each series its labels and value, by the name of the sample.
        self.samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            self.kinds[name] = family.type
            for sample in family.samples:
                self.samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def value(self, sample: str, /, **labels: str) -> float:
        """Sum the series of this name that have these labels; there must be one at least."""
        found = [value for has, value in self.samples.get(sample, []) if labels.items() <= has.items()]
        assert found, f"no series {sample} {labels}"
        return sum(found)

    def labels_of(self, family: str) -> dict[str, set[str]]:
        """Return the labels of a family with their values; without a histogram's own."""
        found: dict[str, set[str]] = {}
        for name in (family, f"{family}_bucket", f"{family}_count"):
            for labels, _ in self.samples.get(name, []):
                for label, value in labels.items():
                    if label != "le":
                        found.setdefault(label, set()).add(value)
        return found


class Target:
    """A process that can be scraped."""

    def __init__(self, base: str) -> None:
        self.base = base

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """Ask it."""
        async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=15.0) as http:
            return await http.get(self.base + path, headers=headers)

    async def scrape(self) -> Scrape:
        """Ask for its metrics."""
        answer = await self.get("/metrics")
        assert answer.status_code == 200
        return Scrape(answer.text)


def of_gateway(gateway: Gateway) -> Target:
    """Return a gateway as Prometheus sees it."""
    return Target(gateway.http)


async def of_worker(worker: Process) -> Target:
    """Return a worker as Prometheus sees it, where it was told to listen."""
    told = await worker.ready("worker.metrics")
    return Target(f"http://{told['host']}:{told['port']}")
