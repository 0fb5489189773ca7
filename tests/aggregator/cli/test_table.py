"""Tables fit the terminal, and nothing hostile leaves them."""

import pytest

from opentrail_aggregator.cli.record_view import result, who
from opentrail_aggregator.cli.table import Column, Table, clean, fit, lay_out, width_of

COLUMNS = (
    Column("NAME", least=6, importance=3),
    Column("WHO", least=6, importance=2),
    Column("ID", least=4, importance=1),
)
ROW = ["DescribeInstances", "arn:aws:sts::111122223333:assumed-role/x/y", "0123456789abcdef"]


@pytest.mark.parametrize("width", range(6, 100))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = Table(COLUMNS, width).lines([ROW])
    assert max(width_of(line) for line in lines) <= width


def test_with_room_nothing_is_cut() -> None:
    assert all(value in Table(COLUMNS, 200).lines([ROW])[1] for value in ROW)


def test_the_least_important_column_goes_first() -> None:
    assert [place for place, _ in lay_out(COLUMNS, [ROW], 15)] == [0, 1]
    assert [place for place, _ in lay_out(COLUMNS, [ROW], 8)] == [0]


def test_the_header_comes_once() -> None:
    table = Table(COLUMNS, 80)
    assert len(table.lines([ROW])) == 2
    assert len(table.lines([ROW, ROW])) == 2


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "a\rb", "a\nb", "\x9b31m", "\u202etxt", "\x00", "\x07", "a\tb"]
)
def test_a_terminal_is_never_made_to_obey_a_record(hostile: str) -> None:
    cleaned = clean(hostile)
    assert cleaned.isprintable()
    assert "\x1b" not in cleaned


def test_wide_characters_keep_the_columns_straight() -> None:
    assert width_of("日本") == 4
    assert width_of(fit("日本語日本語", 7)) == 7


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ({"type": "Root", "accountId": "1"}, "root"),
        ({"type": "IAMUser", "userName": "alice"}, "alice"),
        (
            {
                "type": "AssumedRole",
                "arn": "arn:aws:sts::1:assumed-role/Admin/bob",
                "sessionContext": {"sessionIssuer": {"userName": "Admin"}},
            },
            "Admin/bob",
        ),
        ({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com"),
        ({"type": "Unknown"}, "Unknown"),
        (["not", "an", "object"], ""),
        ({"sessionContext": {"sessionIssuer": "text"}, "principalId": "AIDA"}, "AIDA"),
    ],
)
def test_the_shortest_name_that_tells_who_acted(identity: object, name: str) -> None:
    assert who({"userIdentity": identity}) == name


def test_a_failed_sign_in_does_not_look_like_a_success() -> None:
    assert result({"responseElements": {"ConsoleLogin": "Failure"}}) == "Failure"
    assert result({"errorCode": "AccessDenied"}) == "AccessDenied"
    assert result({"responseElements": {"ConsoleLogin": "Success"}}) == "ok"
