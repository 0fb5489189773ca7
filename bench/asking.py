"""A few connections that ask one question after the other, and how long each took."""

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.system.processes import Installation


@dataclass(frozen=True, slots=True)
class Question:
    """One request, and what its answer has to be."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    is_right: Callable[[bytes], bool] = bool


@dataclass(slots=True)
class Asked:
    """What came of many questions."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    wrong: int = 0
    first_wrong: str = ""


def ask_all(
    installation: Installation, questions: Sequence[Question], connections: int = 1
) -> Asked:
    """Ask each question once, over `connections` at a time."""
    host, port = installation.url.removeprefix("http://").split(":")
    asked, lock = Asked(), threading.Lock()
    left = iter(questions)

    def work() -> None:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        while True:
            with lock:
                question = next(left, None)
            if question is None:
                break
            began = time.monotonic()
            connection.request(
                question.method, question.path, question.body or None, question.headers
            )
            response = connection.getresponse()
            body = response.read()
            took = time.monotonic() - began
            is_right = response.status == 200 and question.is_right(body)
            with lock:
                asked.times.append(took)
                asked.wrong += not is_right
                if not is_right and not asked.first_wrong:
                    asked.first_wrong = f"{response.status} {body[:200]!r}"
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    began = time.monotonic()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    asked.seconds = time.monotonic() - began
    return asked
