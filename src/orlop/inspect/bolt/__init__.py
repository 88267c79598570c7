"""Maintenance of the file: checks, listings, statistics, backup, compaction, salvage."""

from orlop.inspect.bolt.backup import backup
from orlop.inspect.bolt.check import Fault, Report, check_file
from orlop.inspect.bolt.compact import compact
from orlop.inspect.bolt.diff import Difference, diff
from orlop.inspect.bolt.info import FileInfo, file_info
from orlop.inspect.bolt.pages import Page, pages, walk_pages
from orlop.inspect.bolt.salvage import Loss, Salvaged, salvage
from orlop.inspect.bolt.statistics import Statistics, statistics

__all__ = [
    "Difference",
    "Fault",
    "FileInfo",
    "Loss",
    "Page",
    "Report",
    "Salvaged",
    "Statistics",
    "backup",
    "check_file",
    "compact",
    "diff",
    "file_info",
    "pages",
    "salvage",
    "statistics",
    "walk_pages",
]
