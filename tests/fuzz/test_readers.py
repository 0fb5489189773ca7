"""The kept corpus is met with nothing but the readers' own errors; then mutations of it are."""

from collections.abc import Callable

import pytest

from tests.fuzz import targets
from tests.fuzz.mutation import CORPUS, FindingError, Mutator, fuzz, kept

SIGNED = [path.read_bytes() for path in sorted((CORPUS / "sigv4").glob("signed-*"))]
JSON_WORDS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b"null", b"true", b"1e999", b"-0",
    b'"eventTime"', b'"eventID"', b'"recipientAccountId"', b'"awsRegion"', b'"eventSource"',
    b'"userIdentity":{"accountId":"111122223333"}', b'"2026-11-24T10:00:00Z"', b"\\ud800", b"\xff",
    b"\xed\xa0\x80", b"\xe2\x80\xa8", b'"iam.amazonaws.com"', b'"sts.amazonaws.com"', b"\x00",
    b'"eventTime":"1900-02-29T25:61:61Z"', b"\xef\xbb\xbf", b"111122223333",
]  # fmt: skip
QUERY_WORDS = [
    b"(", b")", b"[", b"]", b"{", b"}", b" TO ", b" AND ", b" OR ", b" NOT ", b"-", b"+", b"!",
    b":", b'"', b"\\", b"*", b"?", b"now-2h", b"_exists_:", b"eventName:", b"eventTime:",
    b"userName:", b"sourceIPAddress:", b">=", b"<", b"\xc3\xa9", b"\x00", b"a:b/*", b"~",
    b"^", b"/",
]  # fmt: skip
SIGNATURE_WORDS = [
    b"AWS4-HMAC-SHA256 ", b"Credential=", b"SignedHeaders=", b"Signature=", b"host", b"x-amz-date",
    b";", b",", b"/", b"%2F", b"%", b"..", b"\n", b"Host:", b"X-Amz-Date:", b"X-Amz-Expires=",
    b"X-Amz-Algorithm=AWS4-HMAC-SHA256", b"&", b"=", b"9", b"0", b"20261124T000000Z", b"\xff",
    b"\xc2\xb2", b"UNSIGNED-PAYLOAD", b"STREAMING-", b"X-Amz-Security-Token:", b"aws4_request",
    b" ",
]  # fmt: skip
BINARY_WORDS = [b"\x01\x01\x00\x00", b"OTB1", b"\x28\xb5\x2f\xfd", bytes(4), b"\xff" * 4, b"\n"]
READERS: dict[str, tuple[Callable[[bytes], str], list[bytes], int]] = {
    "frame": (targets.frame_reader, BINARY_WORDS, 6),
    "batch": (targets.batches, [*BINARY_WORDS, *JSON_WORDS], 8),
    "records": (targets.records, JSON_WORDS, 8),
    "query": (targets.query, QUERY_WORDS, 8),
    "sigv4": (targets.signature(SIGNED), SIGNATURE_WORDS, 8),
}
"""Target, what its inputs are made of, and how many kinds of outcome a run meets at the least."""
KEPT = [(name, path) for name in READERS for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{n}-{p.name}" for n, p in KEPT])
def test_what_is_kept_breaks_nothing(name: str, path: object) -> None:
    target, _, _ = READERS[name]
    assert target(path.read_bytes())  # type: ignore[attr-defined]


def test_what_was_signed_is_believed_so_the_rest_means_something() -> None:
    target, _, _ = READERS["sigv4"]
    assert [target(each) for each in SIGNED] == ["believed"] * 4


def test_the_same_seed_makes_the_same_inputs() -> None:
    one, other = (Mutator(kept("query"), QUERY_WORDS, 7) for _ in range(2))
    assert [one.next() for _ in range(200)] == [other.next() for _ in range(200)]


def test_a_target_that_breaks_is_a_finding_with_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENTRAIL_FUZZ_SEED", "11")

    def fragile(data: bytes) -> str:
        if b"TO" in data:
            raise ZeroDivisionError
        return "fine"

    with pytest.raises(FindingError, match=r"query, seed 11: ZeroDivisionError(.|\n)*544f"):
        fuzz("query", QUERY_WORDS, fragile)


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_mutations_meet_only_the_readers_own_errors(name: str) -> None:
    target, words, kinds = READERS[name]
    seen = fuzz(name, words, target)
    assert len(seen) >= kinds, "the mutations reach too little"
    assert sum(seen.values()) > 500
