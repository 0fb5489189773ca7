"""Events that OpenSearch took in no form: kept here with its reasons, counted, never dropped.

    HOME/opensearch/held      one line of JSON each: {"key","position","day","reason","record"};
                              "format" only in a later one than 1

One line per event, appended and made durable before the cursor passes it. An event that is sent
again after a crash is recognised by its key; a half line at the end is cut off.
"""

from pathlib import Path
from typing import Any

import orjson

from opentrail.files import DISK, AppendFile, Files
from opentrail.formats import newer
from opentrail_aggregator.opensearch.documents import Document

NAME = "held"
FORMAT = 1


class Held:
    """The writing side; for one thread."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self.path = directory / NAME
        self._files = files
        files.make_directory(directory)
        data = files.read(self.path, 0, files.size(self.path)) if files.exists(self.path) else b""
        entries = _entries(data[: data.rfind(b"\n") + 1], self.path)
        self._file: AppendFile = files.open_append(self.path)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        self.keys = {entry["key"] for entry in entries}

    def put(self, document: Document, day: str, reason: str) -> None:
        """Durable when this returns; nothing happens for one that is here."""
        if document.key in self.keys:
            return
        event = document.event
        entry = {
            "key": document.key, "position": event.position, "log": document.log_id,
            "day": day, "account": event.account, "region": event.region, "reason": reason,
            "record": event.record.decode("utf-8", "replace"),
        }  # fmt: skip
        self._file.write([orjson.dumps(entry) + b"\n"])
        self._file.datasync()
        self.keys.add(document.key)

    def close(self) -> None:
        self._file.close()


def held_entries(directory: Path) -> list[dict[str, Any]]:
    """All of them, from any process."""
    path = directory / NAME
    return _entries(path.read_bytes(), path) if path.exists() else []


def _entries(data: bytes, path: Path) -> list[dict[str, Any]]:
    entries = [orjson.loads(line) for line in data.splitlines() if line.endswith(b"}")]
    latest = max((each.get("format", FORMAT) for each in entries), default=FORMAT)
    if latest > FORMAT:
        raise newer(path, latest, FORMAT)
    return entries
