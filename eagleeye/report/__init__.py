"""The reports of a search and of a correlation study: numbers, pictures and pages."""

from eagleeye.report.data import Network, ReportData
from eagleeye.report.loading import SavedFile
from eagleeye.report.metrics import metrics
from eagleeye.report.page import write_report
from eagleeye.report.study import answer, coefficient_rows, write_study
from eagleeye.report.study_data import StudyData

__all__ = [
    "Network",
    "ReportData",
    "SavedFile",
    "StudyData",
    "answer",
    "coefficient_rows",
    "metrics",
    "write_report",
    "write_study",
]
