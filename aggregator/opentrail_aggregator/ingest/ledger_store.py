"""The ledger on disk: HOME/log/agents/.

    ledger                     the numberings as of one log position, replaced as a whole
    NNNNNNNNNNNNNNNNNNNN.digests   digests that left memory, up to that log position; never changed

    both:    OTL1 | crc32 u32 (of all behind it) | length u32 | msgpack, `length` bytes | digests

A kill between the two leaves a digest file that the ledger does not count on yet: those digests are
still in the ledger, or in the log behind its position, and the file is written anew. A ledger that
cannot be read is kept as `.broken` and made again from the log; numbers whose segments were
released are then unknown, so a batch sent twice around that moment is stored twice and its events
are found to be copies by consolidate.
"""

import struct
import zlib
from pathlib import Path

import msgspec

from opentrail.crash import crash_point
from opentrail.files import DISK, Files
from opentrail.formats import is_later, newer
from opentrail_aggregator.ingest.admission import DIGEST_BYTES
from opentrail_aggregator.ingest.ledger import Ledger, Numbering

DIRECTORY = "agents"
NAME = "ledger"
DIGESTS_SUFFIX = ".digests"
SPILL_DIGESTS = 65_536
"""More digests than this leave memory for a file (1 MiB)."""
DIGEST_FILES_MAX = 256
"""Beyond this the oldest file goes; its numbers then count as held with unknown content."""
_MAGIC = b"OTL1"
_HEADER = struct.Struct("<4sII")


class _Row(msgspec.Struct, array_like=True):
    agent: str
    epoch: str
    begins_at: int
    last: int
    position: int
    at_ns: int
    digests_from: int
    digests: bytes
    missing: list[tuple[int, int]]


class _Written(msgspec.Struct, array_like=True):
    log_id: str
    position: int
    settings_digest: str
    rows: list[_Row]


_Table = list[tuple[str, str, int, int, int]]
"""Of a digest file: agent, epoch, first number, count, offset in digests."""


class LedgerStore:
    """Reads and writes the ledger of one log."""

    def __init__(self, log_directory: Path, files: Files = DISK) -> None:
        self.directory = log_directory / DIRECTORY
        self.findings: list[str] = []
        self._files = files
        self.written_position = 0
        """What is written down covers the log up to here; segments below may go."""

    def load(self, log_id: str) -> Ledger:
        """The ledger as last written; an empty one if there is none that can be used.

        Raises NewerFormatError if a later release wrote it or the digests beside it.
        """
        for name in self._digest_files():
            _refuse_newer(self.directory / name, self._files.read(self.directory / name, 0, 4))
        ledger = Ledger(log_id, self.old_digest)
        path = self.directory / NAME
        if not self._files.exists(path):
            return ledger
        content = self._files.read(path, 0, self._files.size(path))
        _refuse_newer(path, content)
        try:
            written = msgspec.msgpack.decode(_unseal(content)[0], type=_Written)
        except (ValueError, msgspec.MsgspecError) as error:
            self._files.rename(path, path.with_name(NAME + ".broken"))
            self.findings.append(
                f"{path}: {error}; kept as {NAME}.broken and made again from the log"
            )
            return ledger
        if written.log_id != log_id:
            self.findings.append(f"{path}: belongs to log {written.log_id}; not used")
            return ledger
        ledger.position = self.written_position = written.position
        ledger.settings_digest = written.settings_digest
        for row in written.rows:
            ledger.restore(
                Numbering(
                    row.agent, row.epoch, row.begins_at, row.last, row.position, row.at_ns,
                    row.digests_from, bytearray(row.digests), row.missing,
                )
            )  # fmt: skip
        return ledger

    def save(self, ledger: Ledger) -> None:
        """Write `ledger` down; afterwards segments up to its position may be released."""
        self._files.make_directory(self.directory)
        if ledger.recent_digests() > SPILL_DIGESTS:
            self._spill(ledger)
        rows = [
            _Row(
                each.agent, each.epoch, each.begins_at, each.last, each.position, each.at_ns,
                each.digests_from, bytes(each.digests), each.missing,
            )
            for each in ledger
        ]  # fmt: skip
        written = _Written(ledger.log_id, ledger.position, ledger.settings_digest, rows)
        crash_point("wal.ledger_saving")
        self._files.replace(self.directory / NAME, _seal(msgspec.msgpack.encode(written)))
        crash_point("wal.ledger_saved")
        self.written_position = ledger.position

    def old_digest(self, agent: str, epoch: str, sequence: int) -> bytes | None:
        """A digest that left memory; newest files first."""
        for name in reversed(self._digest_files()):
            path = self.directory / name
            try:
                header = self._files.read(path, 0, _HEADER.size)
                _, _, length = _HEADER.unpack(header)
                table = msgspec.msgpack.decode(
                    self._files.read(path, _HEADER.size, length), type=_Table
                )
            except (FileNotFoundError, struct.error, msgspec.MsgspecError):
                continue  # Damaged: its numbers count as held with unknown content.
            for its_agent, its_epoch, first, count, offset in table:
                if (its_agent, its_epoch) == (agent, epoch) and first <= sequence < first + count:
                    begin = _HEADER.size + length + offset + (sequence - first) * DIGEST_BYTES
                    return self._files.read(path, begin, DIGEST_BYTES)
        return None

    def _spill(self, ledger: Ledger) -> None:
        table: _Table = []
        body = bytearray()
        for each in ledger:
            if each.digests:
                count = len(each.digests) // DIGEST_BYTES
                table.append((each.agent, each.epoch, each.digests_from, count, len(body)))
                body += each.digests
        name = f"{ledger.position:020d}{DIGESTS_SUFFIX}"
        self._files.replace(
            self.directory / name, _seal(msgspec.msgpack.encode(table), bytes(body))
        )
        ledger.forget_digests()
        for old in self._digest_files()[:-DIGEST_FILES_MAX]:
            self._files.unlink(self.directory / old)

    def _digest_files(self) -> list[str]:
        return [name for name in self._files.list(self.directory) if name.endswith(DIGESTS_SUFFIX)]


def _seal(packed: bytes, body: bytes = b"") -> bytes:
    length = len(packed).to_bytes(4, "little")
    crc = zlib.crc32(body, zlib.crc32(packed, zlib.crc32(length)))
    return b"".join((_MAGIC, crc.to_bytes(4, "little"), length, packed, body))


def _refuse_newer(path: Path, content: bytes) -> None:
    if is_later(content[:4], _MAGIC):
        raise newer(path, content[:4].decode(), _MAGIC.decode())


def _unseal(content: bytes) -> tuple[bytes, bytes]:
    if len(content) < _HEADER.size or content[:4] != _MAGIC:
        raise ValueError("not a ledger: it does not begin with OTL1")
    _, crc, length = _HEADER.unpack_from(content)
    if zlib.crc32(content[8:]) != crc:
        raise ValueError("the ledger's checksum is wrong")
    return content[_HEADER.size : _HEADER.size + length], content[_HEADER.size + length :]
