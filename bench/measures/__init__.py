"""The measures: what is done to the contenders, and what is noted of it, as it goes into docs/performance.json."""
