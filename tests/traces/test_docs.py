"""docs/traces.md names what there is: every span and every attribute, and no other."""

import re
from pathlib import Path

from andon.tracing import Attribute, SpanName

TEXT = (Path(__file__).parents[2] / "docs" / "traces.md").read_text(encoding="utf-8")


def _first_cells(heading: str) -> set[str]:
    table = TEXT.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_every_span_is_in_the_table_and_no_other() -> None:
    """The upstream's is called by its model."""
    assert _first_cells("span") == {*SpanName, "chat {model}"}


def test_every_attribute_is_in_the_table_and_no_other() -> None:
    """By its full name."""
    assert _first_cells("attribute") == set(Attribute)
