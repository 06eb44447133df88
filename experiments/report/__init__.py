"""Shows a run: one offline HTML file with its figures inlined, and the figures as SVG beside it."""

from experiments.report.html import write_report, write_tables

__all__ = ["write_report", "write_tables"]
