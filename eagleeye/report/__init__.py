"""The report of a search: numbers, pictures and a page."""

from eagleeye.report.data import Network, ReportData
from eagleeye.report.metrics import metrics
from eagleeye.report.page import write_report

__all__ = ["Network", "ReportData", "metrics", "write_report"]
