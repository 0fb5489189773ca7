"""Processes that read, inflate and hash log files for `verify`, as many as there are processors.

They are forked from one that has no other thread and has not yet talked to the destination. Each
gets keys in small bundles and answers them in order; so few bundles are on their way that the two
never wait for each other with full pipes. A reader has at most one inflated file in memory. It ends
when its pipe does: with the process that asked, however that ended.
"""

import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, TypeAlias

import msgspec

from opentrail.errors import OpenTrailError
from opentrail_aggregator.archive.contents import Content, Contents, OneByOne, content_of
from opentrail_aggregator.archive.destination import Destination, DestinationError

READERS_MAX = 4
BUNDLE = 16
"""Keys at a time. The answers to so many fit into the smallest pipe there is, 4 KiB."""
AHEAD = 2
"""Bundles on their way to one reader: while one is asked, at most one answer is in its pipe."""
THREADS = 8
"""In each reader, where the destination is far away: they read together, and inflate in turns."""
_FAULT_CHARACTERS = 120
_REFUSAL_CHARACTERS = 1500
_HEAD_BYTES = 4


class ReaderEndedError(OpenTrailError):
    """A process of ours is gone: killed, or out of memory."""

    exit_code = 2


class _Refusal(msgspec.Struct, array_like=True, tag="refusal"):
    """The destination could not be read."""

    reason: str
    text: str
    holds: bool


class _Fault(msgspec.Struct, array_like=True, tag="fault"):
    """The operating system did not let us."""

    errno: int
    text: str
    path: str


class _Answer(msgspec.Struct, array_like=True, tag="answer"):
    sha256: str
    events: int
    fault: str


_Found: TypeAlias = _Answer | _Refusal | _Fault
_encoder = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[list[_Found]] = msgspec.msgpack.Decoder(list[_Found])
_questions = msgspec.msgpack.Decoder(list[str])


@contextlib.contextmanager
def reading(destination: Destination, count: int | None = None) -> Iterator[Contents]:
    """`count` readers; one for each processor if it is None, and none but this with a single."""
    wanted = min(len(os.sched_getaffinity(0)), READERS_MAX) if count is None else count
    if wanted < 2:
        yield OneByOne(destination)
        return
    pool = _Pool()
    try:
        for _ in range(wanted):
            pool.start(destination)
        yield pool
    finally:
        pool.close()


class _Reader:
    """The asking side of one process."""

    def __init__(self, pid: int, questions: IO[bytes], answers: IO[bytes]) -> None:
        self.pid, self.questions, self.answers = pid, questions, answers
        self.bundles = 0
        """Asked and not yet answered."""


class _Pool:
    """All readers."""

    def __init__(self) -> None:
        self._readers: list[_Reader] = []
        self._bundle: list[str] = []
        self._order: deque[_Reader] = deque()
        self._answers: deque[_Found] = deque()

    def start(self, destination: Destination) -> None:
        """Fork one more."""
        asked, ask = os.pipe()
        answered, answer = os.pipe()
        # Who sits at the terminal means the process that asks: a reader never sees a Ctrl-C.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        pid = os.fork()
        if pid == 0:
            for each in self._readers:  # Or it would keep the others' pipes open.
                each.questions.close()
                each.answers.close()
            os.close(ask)
            os.close(answered)
            _serve(destination, os.fdopen(asked, "rb"), os.fdopen(answer, "wb"))
        self._readers.append(_Reader(pid, os.fdopen(ask, "wb"), os.fdopen(answered, "rb")))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(asked)
        os.close(answer)

    @property
    def is_full(self) -> bool:
        return len(self._order) >= len(self._readers) * AHEAD

    def ask(self, key: str) -> None:
        self._bundle.append(key)
        if len(self._bundle) >= BUNDLE:
            self._send()

    def answer(self) -> Content:
        if not self._answers:
            if not self._order:
                self._send()
            reader = self._order.popleft()
            self._answers.extend(_answers.decode(self._receive(reader)))
            reader.bundles -= 1
        found = self._answers.popleft()
        if isinstance(found, _Refusal):
            raise DestinationError(found.reason, found.text, holds=found.holds)
        if isinstance(found, _Fault):
            raise OSError(found.errno, found.text, found.path)
        return Content(found.sha256, found.events, found.fault)

    def close(self) -> None:
        """End them, in the midst of a file if need be: they hold nothing."""
        for each in self._readers:
            os.kill(each.pid, signal.SIGKILL)
            os.waitpid(each.pid, 0)
            with contextlib.suppress(BrokenPipeError):
                each.questions.close()
            each.answers.close()
        self._readers = []

    def _send(self) -> None:
        reader = min(self._readers, key=lambda each: each.bundles)
        bundle, self._bundle = self._bundle, []
        try:
            _put(reader.questions, bundle)
        except BrokenPipeError:
            raise _ended(reader) from None
        reader.bundles += 1
        self._order.append(reader)

    def _receive(self, reader: _Reader) -> bytes:
        data = _take(reader.answers)
        if data is None:
            raise _ended(reader)
        return data


def _ended(reader: _Reader) -> ReaderEndedError:
    return ReaderEndedError(
        f"process {reader.pid}, which read log files for this one, has ended: was it killed, or is "
        "memory short? Nothing was found wrong because of it; run the command again"
    )


def _serve(destination: Destination, questions: IO[bytes], answers: IO[bytes]) -> None:
    """The life of a reader; never returns."""
    code = 1
    try:
        _answer_all(destination, questions, answers)
        code = 0
    except BrokenPipeError:
        code = 0  # Nobody wants the answer any more.
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _answer_all(destination: Destination, questions: IO[bytes], answers: IO[bytes]) -> None:
    turn = threading.Lock()

    def look(key: str) -> _Found:
        return _looked(destination, key, turn)

    with contextlib.ExitStack() as stack:
        together: Callable[..., Iterable[_Found]] = map
        if destination.blocks:
            together = stack.enter_context(ThreadPoolExecutor(THREADS)).map
        while (data := _take(questions)) is not None:
            bundle: list[_Found] = []
            for found in together(look, _questions.decode(data)):
                bundle.append(found)
                if not isinstance(found, _Answer):
                    break  # It ends there, and what it says may be long.
            _put(answers, bundle)


def _looked(destination: Destination, key: str, turn: threading.Lock) -> _Found:
    try:
        sha256, events, fault = content_of(destination, key, turn)
        return _Answer(sha256, events, fault[:_FAULT_CHARACTERS])
    except DestinationError as error:
        return _Refusal(error.reason, str(error)[:_REFUSAL_CHARACTERS], error.holds)
    except OSError as error:
        path = str(error.filename or key)
        return _Fault(error.errno or 0, error.strerror or str(error), path[:_REFUSAL_CHARACTERS])


def _put(pipe: IO[bytes], message: Any) -> None:
    data = _encoder.encode(message)
    pipe.write(len(data).to_bytes(_HEAD_BYTES, "big") + data)
    pipe.flush()


def _take(pipe: IO[bytes]) -> bytes | None:
    """One message; None at the end."""
    head = pipe.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None
    size = int.from_bytes(head, "big")
    data = pipe.read(size)
    return data if len(data) == size else None
