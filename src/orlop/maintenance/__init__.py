"""Maintenance of the database file.

The tools of `orlop.bolt.tools` (check, pages, differences, dump, backup), and those that know the
keys of containerd or the write sessions of a root: statistics, salvage, compaction.
"""

from orlop.bolt.tools.backup import backup
from orlop.bolt.tools.check import Fault, Report, check_file
from orlop.bolt.tools.diff import Difference, diff
from orlop.bolt.tools.dump import dump
from orlop.bolt.tools.info import FileInfo, file_info
from orlop.bolt.tools.pages import Page, pages, walk_pages
from orlop.maintenance.compact import compact
from orlop.maintenance.salvage import Loss, Salvaged, salvage
from orlop.maintenance.stats import Statistics, statistics

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
    "dump",
    "file_info",
    "pages",
    "salvage",
    "statistics",
    "walk_pages",
]
