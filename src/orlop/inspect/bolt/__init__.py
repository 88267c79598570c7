"""Questions about the file itself: is it sound, what is in it, how can it be copied."""

from orlop.inspect.bolt.backup import backup
from orlop.inspect.bolt.check import Fault, Report, check_file
from orlop.inspect.bolt.info import FileInfo, file_info

__all__ = ["Fault", "FileInfo", "Report", "backup", "check_file", "file_info"]
