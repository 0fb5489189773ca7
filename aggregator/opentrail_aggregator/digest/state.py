"""Where each chain stands, kept outside the bucket.

    HOME/digest/chains/NAME.json       one chain: window, head, runs, and the digest under way
    HOME/digest/staged/NAME-STAMP.gz   the signed bytes of the digest under way

A digest is an *intent* first: signed, staged and written here, so whatever happens the same bytes
go under the same key. With the commit that makes it the head its window is closed for good. What a
bucket should hold is known from here: `verify` compares heads and runs.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.archive.deliveries import StagedObject
from opentrail_aggregator.archive.keys import unique_name
from opentrail_aggregator.digest.inbox import ChainId

VERSION = 1
_SUFFIX = ".json"


class Head(msgspec.Struct, kw_only=True, frozen=True):
    """The newest digest."""

    bucket: str
    key: str
    sha256: str
    signature: str
    end_s: int
    entries: list[str]
    """Deliveries in it: not to be listed again."""


class Run(msgspec.Struct, kw_only=True):
    """Digests from a starting one to a final one; the last run is open unless the chain ended."""

    first: str
    last: str
    digests: int
    start_s: int
    end_s: int


class Intent(msgspec.Struct, kw_only=True, frozen=True):
    """A signed digest that is not committed yet."""

    bucket: str
    staged: StagedObject
    signature: str
    start_s: int
    end_s: int
    starting: bool
    final: bool
    entries: list[str]


class ChainState(msgspec.Struct, kw_only=True):
    """One chain, or the backfill digests beside it."""

    version: int = VERSION
    trail: str
    account: str
    region: str
    backfill: bool = False
    root: str
    bucket: str
    window_start_s: int
    """Also: where the next digest's window begins."""
    ended: bool = False
    chained: bool = False
    """The next digest names the head as its predecessor; otherwise it is a starting one."""
    head: Head | None = None
    runs: list[Run] = []
    intent: Intent | None = None

    @property
    def chain(self) -> ChainId:
        return ChainId(self.trail, self.account, self.region)

    @property
    def name(self) -> str:
        return unique_name(
            self.trail, self.account, self.region, "backfill" if self.backfill else "digest"
        )

    def commit(self) -> None:
        """The digest under way is where it belongs."""
        intent = self.intent
        assert intent is not None
        self.head = Head(
            bucket=intent.bucket,
            key=intent.staged.key,
            sha256=intent.staged.sha256,
            signature=intent.signature,
            end_s=intent.end_s,
            entries=intent.entries,
        )
        if intent.starting or not self.runs:
            self.runs = [
                *self.runs,
                Run(
                    first=intent.staged.key, last=intent.staged.key, digests=0,
                    start_s=intent.start_s, end_s=intent.end_s,
                ),
            ]  # fmt: skip
        run = self.runs[-1]
        run.last, run.end_s = intent.staged.key, intent.end_s
        run.digests += 1
        self.window_start_s = intent.end_s
        self.ended, self.chained, self.intent = intent.final, not intent.final, None


class ChainFolder:
    """The chains on disk."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        """`directory` is HOME/digest."""
        self._chains = directory / "chains"
        self._staged = directory / "staged"
        self._files = files

    def read_all(self) -> Iterator[ChainState]:
        """Every chain, from any process."""
        for name in self._files.list(self._chains):
            if name.endswith(_SUFFIX):
                yield self._read(self._chains / name)

    def save(self, chain: ChainState) -> None:
        self._files.make_directory(self._chains)
        self._files.replace(self._chains / f"{chain.name}{_SUFFIX}", msgspec.json.encode(chain))

    def stage(self, file: str, content: bytes) -> None:
        """Make the bytes of a digest durable, under a name that can be linked."""
        path = self.staged_path(file)
        self._files.make_directory(self._staged)
        self._files.unlink(path)  # Of a digest that was never intended.
        output = self._files.open_append(path)
        try:
            output.write([content])
            output.datasync()
        finally:
            output.close()

    def staged_path(self, file: str) -> Path:
        return self._staged / file

    def unstage(self, file: str) -> None:
        self._files.unlink(self.staged_path(file))

    def clear(self, kept: set[str]) -> None:
        """Remove staged files that no intent names."""
        for name in self._files.list(self._staged):
            if name not in kept:
                self.unstage(name)

    def _read(self, path: Path) -> ChainState:
        content = self._files.read(path, 0, self._files.size(path))
        refuse_newer(path, content, VERSION)
        try:
            return msgspec.json.decode(content, type=ChainState)
        except msgspec.MsgspecError as error:
            raise DamagedError(
                f"{path}: the state of a digest chain cannot be read ({error}); bring HOME/digest "
                "back from a backup, or move the file away: the chain then begins anew"
            ) from error
