"""The report: tables, plots and the page made of a run's results."""
