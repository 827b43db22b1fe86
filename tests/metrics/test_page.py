"""docs/metrics.md and what a gateway and a worker really answer, compared both ways."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.metrics import page
from tests.metrics.scrape import Scrape, Target


def _ours(scrape: Scrape) -> dict[str, str]:
    return {name: kind for name, kind in scrape.kinds.items() if name.startswith("andon_")}


@pytest.mark.parametrize("side", ["gateway", "worker"])
async def test_every_metric_is_on_the_page_and_every_row_is_true(side: str, gateway: Target, worker: Target) -> None:
    """Names and kinds of both sides; a metric that is of one side is not of the other."""
    scrape = await (gateway if side == "gateway" else worker).scrape()
    told = {name: row.kind for name, row in page.rows().items() if row.of in {side, "both"}}
    assert _ours(scrape) == told


@pytest.mark.parametrize("side", ["gateway", "worker"])
async def test_every_label_and_each_of_its_values_is_on_the_page(side: str, gateway: Target, worker: Target) -> None:
    """The sets are closed, and whole from the first scrape on; nothing of a client's is ever in one."""
    scrape = await (gateway if side == "gateway" else worker).scrape()
    for name, row in page.rows().items():
        if row.of not in {side, "both"}:
            continue
        labels = scrape.labels_of(name)
        assert labels.keys() == row.labels, name
        for label, values in labels.items():
            if (name, label) == ("andon_build_info", "version"):
                continue
            told = page.label_values()[name, label]
            assert values == ({side} if label == "role" else told), (name, label)


async def test_the_process_and_python_tell_of_themselves(gateway: Target, worker: Target) -> None:
    """Memory, descriptors, CPU; the collector of garbage; which Python."""
    for target in (gateway, worker):
        scrape = await target.scrape()
        assert scrape.value("process_resident_memory_bytes") > 0
        assert scrape.value("process_open_fds") > 0
        assert scrape.value("python_info") == 1
        assert scrape.value("python_gc_collections_total") >= 0


async def test_both_formats_are_spoken(gateway: Target, worker: Target) -> None:
    """Prometheus' text by default, OpenMetrics for who accepts it, each by its content type."""
    for target in (gateway, worker):
        plain = await target.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=")
        newer = await target.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert newer.headers["content-type"].startswith("application/openmetrics-text")
        names = {family.name for family in text_string_to_metric_families(newer.text)}  # type: ignore[no-untyped-call]
        assert {"andon_stops", "andon_redis_connected"} <= names
