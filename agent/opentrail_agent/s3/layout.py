"""CloudTrail's keys: what is told from a key alone.

    [prefix/]AWSLogs/[o-ORG/]ACCOUNT/FOLDER/REGION/YYYY/MM/DD/ACCOUNT_…_REGION_YYYYMMDDTHHMMZ_….json.gz

A *stream* is everything up to REGION/: its keys sort by day, and within a day nearly by time.
"""

import re

NOT_RECORDS = ("CloudTrail-Digest", "OpenTrail-Manifest")
"""Folders that lie beside the records and hold none."""
ROOT = "AWSLogs/"
_ACCOUNT = re.compile(r"[0-9]{12}/", re.ASCII)
_ORGANIZATION = re.compile(r"o-[a-z0-9]+/", re.ASCII)
_DAY = re.compile(r"([0-9]{4})/([0-9]{2})/([0-9]{2})/", re.ASCII)
_FOLDER = re.compile(r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?[0-9]{12}/([^/]+)/", re.ASCII)


def folder_of(key: str) -> str:
    """CloudTrail's folder in a key, empty if it is not one of its keys."""
    found = _FOLDER.search(key)
    return found[1] if found else ""


def holds_no_records(key: str) -> bool:
    """Whether a key is a digest's, a manifest's or a placeholder's."""
    return key.endswith("/") or any(part in NOT_RECORDS for part in key.split("/"))


def is_account(name: str) -> bool:
    return _ACCOUNT.fullmatch(name) is not None


def is_organization(name: str) -> bool:
    return _ORGANIZATION.fullmatch(name) is not None


def day_of(relative: str) -> str:
    """YYYY/MM/DD/ that a key of a stream begins with, empty if it does not."""
    found = _DAY.match(relative)
    return found[0] if found else ""
