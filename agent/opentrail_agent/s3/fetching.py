"""Objects fetched ahead of who reads them, by a few threads, and handed over in order.

An object goes into a nameless file beside the spool, so a large one costs no memory; the thread
that fetched it also names its content (the sha256 of what is in it). At most twice as many as there
are threads lie ready.
"""

import hashlib
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..capture.content import content_of
from ..importing.cutting import CHUNK_BYTES
from .client import S3Error, as_s3_error

_PIECE_BYTES = 256 * 1024
_BROKEN_TRIES = 4
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that somebody wants read."""

    bucket: str
    key: str
    size: int = 0
    """As stored, as far as known."""
    ticket: object = None
    """Whatever the one who wants it knows it by."""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object that is here, or the reason why it is not."""

    wanted: Wanted
    file: IO[bytes] | None
    generation: str = ""
    length: int = 0
    """Of what is in it, uncompressed."""
    error: S3Error | None = None


class Fetcher:
    """A client and its threads; close it."""

    def __init__(self, client: Any, workers: int, directory: Path) -> None:
        self._client = client
        self._directory = directory
        self._ahead = 2 * workers
        self._pool = ThreadPoolExecutor(workers, "s3")
        self._closing = threading.Event()

    def each(self, wanted: Iterable[Wanted], is_stopping: Callable[[], bool]) -> Iterator[Fetched]:
        """Every object, in the order in which it is wanted; ends early when stopping."""
        waiting: deque[Future[Fetched]] = deque()
        source = iter(wanted)
        has_more = True
        try:
            while not is_stopping():
                while has_more and len(waiting) < self._ahead:
                    following = next(source, None)
                    if following is None:
                        has_more = False
                    else:
                        waiting.append(self._pool.submit(self._fetch, following))
                if not waiting:
                    return
                try:
                    fetched = waiting[0].result(_LOOK_SECONDS)
                except NotYet:
                    continue
                waiting.popleft()
                try:
                    yield fetched
                finally:
                    if fetched.file is not None:
                        fetched.file.close()
        finally:
            for future in waiting:
                if not future.cancel():
                    future.add_done_callback(_close_file)

    def close(self) -> None:
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, wanted: Wanted) -> Fetched:
        for attempt in range(_BROKEN_TRIES):
            file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 handed over
            try:
                self._download(wanted, file)
                content, digest, length = content_of(file.fileno()), hashlib.sha256(), 0
                while not self._closing.is_set() and (piece := content.read(length, CHUNK_BYTES)):
                    digest.update(piece)
                    length += len(piece)
                return Fetched(wanted, file, digest.hexdigest(), length)
            except Exception as error:
                file.close()
                found = as_s3_error(error, wanted.url)
                # A body that breaks off is not botocore's to ask for again.
                if isinstance(error, OSError) and not _is_of_the_net(error):
                    raise
                is_last = attempt + 1 == _BROKEN_TRIES
                if found.reason != "away" or is_last or self._closing.is_set():
                    return Fetched(wanted, None, error=found)
        raise AssertionError("every try returned or raised")

    def _download(self, wanted: Wanted, file: IO[bytes]) -> None:
        body = self._client.get_object(Bucket=wanted.bucket, Key=wanted.key)["Body"]
        try:
            while piece := body.read(_PIECE_BYTES):
                file.write(piece)
                if self._closing.is_set():
                    raise S3Error("away", "stopped")
        finally:
            body.close()
        file.flush()


def _is_of_the_net(error: OSError) -> bool:
    """Errors of sockets come as OSError too; those of our own disk have a number of its kind."""
    return isinstance(error, ConnectionError | TimeoutError) or error.errno is None


def _close_file(future: "Future[Fetched]") -> None:
    if not future.cancelled() and future.exception() is None:
        file = future.result().file
        if file is not None:
            file.close()
