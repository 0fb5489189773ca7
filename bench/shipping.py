"""One agent's stream spoken by hand, to time acknowledgements at the wire.

Batches go out at a steady rate whether or not earlier ones are acknowledged, so a stall shows up
in every batch it holds up and not only in the first (no coordinated omission).
"""

import threading
import time
from dataclasses import dataclass, field

from tests.system.stranger import Stranger, batch

from bench.paced import Lines

WINDOW = 64


@dataclass(slots=True)
class Acknowledged:
    events: int = 0
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    """From the moment a batch was due until its acknowledgement, in seconds."""


def ship_paced(stranger: Stranger, *, rate: int, batch_events: int, seconds: float) -> Acknowledged:
    """Send `rate` events a second for `seconds`; every acknowledgement is timed."""
    payloads = [batch(Lines(batch_events * 4).make(n * batch_events, batch_events).splitlines())
                for n in range(16)]  # fmt: skip
    stranger.say_hello()
    due: dict[int, float] = {}
    done = Acknowledged()
    room = threading.Semaphore(WINDOW)
    total = int(rate * seconds / batch_events)

    def collect() -> None:
        through = 0
        while through < total:
            answer = stranger.answer()
            assert answer.kind == "acknowledge", f"{answer.kind} {answer.fields}"
            now = time.monotonic()
            for sequence in range(through + 1, int(answer.fields[1]) + 1):
                done.waits.append(now - due.pop(sequence))
                room.release()
            through = int(answer.fields[1])

    reader = threading.Thread(target=collect)
    started = time.monotonic()
    reader.start()
    for sequence in range(1, total + 1):
        at = started + sequence * batch_events / rate
        if (wait := at - time.monotonic()) > 0:
            time.sleep(wait)
        room.acquire()
        due[sequence] = at
        stranger.send_batch(sequence, payloads[sequence % len(payloads)])
    reader.join(60)
    done.events, done.seconds = total * batch_events, time.monotonic() - started
    return done


def ship_flat_out(stranger: Stranger, payload: bytes, count: int) -> None:
    """Send the same batch `count` times under new numbers, as fast as they are acknowledged."""
    stranger.say_hello()
    through = 0
    for sequence in range(1, count + 1):
        stranger.send_batch(sequence, payload)
        while sequence - through >= WINDOW // 2:
            through = int(stranger.answer().fields[1])
    while through < count:
        through = int(stranger.answer().fields[1])


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all are at or below."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, int(share * len(ordered) + 0.9999999) - 1))]
