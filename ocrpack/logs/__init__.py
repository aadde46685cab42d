"""The journal and the instance log: written whole lines at a time, rotated by size, and read back in one order."""

from ocrpack.logs.following import follow
from ocrpack.logs.journal import LEVELS, Event, Journal, Level, new_deploy_id, timestamp
from ocrpack.logs.reading import Parser, Query, merged, parse_instance_line, parse_journal_line, read
from ocrpack.logs.rotation import KEEP, MAX_BYTES, append, rotate, rotated_files

__all__ = [
    "KEEP",
    "LEVELS",
    "MAX_BYTES",
    "Event",
    "Journal",
    "Level",
    "Parser",
    "Query",
    "append",
    "follow",
    "merged",
    "new_deploy_id",
    "parse_instance_line",
    "parse_journal_line",
    "read",
    "rotate",
    "rotated_files",
    "timestamp",
]
