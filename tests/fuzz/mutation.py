"""Mutations of kept inputs, with a seed that is told, and a pool that grows by what is new.

A target is given an input and returns a short word for what became of it (the reason of a refusal,
say); an input with a word not seen before joins the pool, so that mutations go on from there.  This
stands in for coverage, which Python 3.11 tells too slowly.  What it raises is a finding; its text
has the seed and the bytes, ready to be put into the corpus.
"""

import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
SECONDS = float(os.environ.get("OPENTRAIL_FUZZ_SECONDS", "10"))
"""How long each target is tried; hours are as good as seconds, by the environment."""
INPUT_MAX_BYTES = 1 << 16
POOL_MAX = 2000
NUMBERS = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63,
    2**64 - 1,
]


class FindingError(AssertionError):
    """An input that broke something."""


def kept(target: str) -> list[bytes]:
    """The corpus of one target, in order."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


class Mutator:
    """Inputs without end, the same for the same seed and the same answers of the target."""

    def __init__(self, pool: list[bytes], words: list[bytes], seed: int) -> None:
        self.pool = list(pool)
        self._words = words
        """Pieces that this kind of input is made of."""
        self._chance = random.Random(seed)

    def next(self) -> bytes:
        chance = self._chance
        data = bytearray(chance.choice(self.pool))
        for _ in range(1 + int(chance.expovariate(0.5))):
            self._mutate(data)
        return bytes(data[:INPUT_MAX_BYTES])

    def keep(self, data: bytes) -> None:
        if len(self.pool) < POOL_MAX:
            self.pool.append(data)

    def _mutate(self, data: bytearray) -> None:
        chance = self._chance
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + 1 + int(chance.expovariate(0.1)))
        match chance.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at:at] = chance.randbytes(1 + chance.randrange(8))
            case 2:
                del data[at:end]
            case 3:  # A piece again, once or very often.
                data[at:at] = bytes(data[at:end]) * chance.choice((1, 1, 2, 40, 1500))
            case 4:
                width = chance.choice((1, 2, 4, 8))
                number = chance.choice(NUMBERS) & ((1 << 8 * width) - 1)
                data[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
            case 5:  # A piece of another input.
                other = chance.choice(self.pool)
                begin = chance.randrange(len(other) + 1)
                data[at:end] = other[begin : begin + 1 + int(chance.expovariate(0.02))]
            case 6 | 7:
                data[at:end] = chance.choice(self._words)
            case _:
                data[at:at] = chance.choice(self._words) * chance.choice((1, 1, 3, 2000))
        del data[INPUT_MAX_BYTES:]


def fuzz(name: str, words: list[bytes], target: Callable[[bytes], str]) -> dict[str, int]:
    """Try `target` for a while; how often each word was said."""
    run = Run(name, words)
    for data in run.inputs(SECONDS):
        try:
            run.note(data, target(data))
        except Exception as error:
            raise run.finding(data, error) from error
    return run.told()


async def fuzz_awaiting(
    name: str, words: list[bytes], target: Callable[[bytes], Awaitable[str]]
) -> dict[str, int]:
    """The same for a target that answers over a wire."""
    run = Run(name, words)
    for data in run.inputs(SECONDS):
        try:
            run.note(data, await target(data))
        except Exception as error:
            raise run.finding(data, error) from error
    return run.told()


class Run:
    """One target, tried for a while."""

    def __init__(self, name: str, words: list[bytes]) -> None:
        chosen = os.environ.get("OPENTRAIL_FUZZ_SEED")
        self._name = name
        self._seed = int(chosen) if chosen else random.SystemRandom().randrange(2**32)
        self._mutator = Mutator(kept(name), words, self._seed)
        self._seen: dict[str, int] = {}
        print(f"fuzz {name}: OPENTRAIL_FUZZ_SEED={self._seed}")

    def inputs(self, seconds: float) -> Iterator[bytes]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield self._mutator.next()

    def note(self, data: bytes, word: str) -> None:
        if word not in self._seen:
            self._mutator.keep(data)
        self._seen[word] = self._seen.get(word, 0) + 1

    def told(self) -> dict[str, int]:
        tried = sum(self._seen.values())
        print(f"fuzz {self._name}: {tried} inputs, {len(self._seen)} kinds of outcome")
        return self._seen

    def finding(self, data: bytes, error: Exception) -> FindingError:
        cut = "" if len(data) <= 2000 else f"... ({len(data)} bytes)"
        return FindingError(
            f"{self._name}, seed {self._seed}: {type(error).__name__}: {error}\n"
            f"put these bytes into tests/fuzz/corpus/{self._name}/ once it is mended:\n"
            f"{data[:2000].hex()}{cut}"
        )
