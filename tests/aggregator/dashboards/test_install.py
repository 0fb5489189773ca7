"""`opentrail dashboards`: what it says is there is there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.cli import main
from opentrail_aggregator.dashboards.install import Dashboards, InstallError
from opentrail_aggregator.dashboards.objects import saved_objects
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.opensearch.wire import Wire
from tests.fakes.dashboards_server import DashboardsServer

COUNT = len(saved_objects())


@pytest.fixture
def server() -> Iterator[DashboardsServer]:
    made = DashboardsServer("/_dashboards")
    yield made
    made.stop()


@pytest.fixture
def dashboards(server: DashboardsServer) -> Iterator[Dashboards]:
    wire = Wire(OpenSearchSettings(url=server.url))
    yield Dashboards(wire)
    wire.end()


def places(server: DashboardsServer) -> set[tuple[str, str]]:
    return {key[:2] for key in server.stored}


def test_they_are_installed_for_everybody_and_again_over_themselves(
    server: DashboardsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["dashboards", "install", "--url", server.url]) == 0
        assert len(server.stored) == COUNT
    assert places(server) == {("global", "")}
    said = capsys.readouterr().out
    assert said.count(f"{COUNT} objects are there, read back: 6 dashboards") == 2
    assert said.count("now the default") == 1
    assert server.settings["defaultIndex"]["userValue"] == "opentrail-events"


def test_into_a_tenant_and_a_workspace_with_ids_of_its_own(
    server: DashboardsServer, dashboards: Dashboards
) -> None:
    dashboards.install()
    server.settings["defaultIndex"] = {"userValue": "mine"}
    url = ["--url", server.url + "/"]
    assert main(["dashboards", "install", *url, "--tenant", "blue", "--workspace", "Ab3x"]) == 0
    assert places(server) == {("global", ""), ("blue", "Ab3x")}
    ids = [key[3] for key in server.stored]
    assert len(set(ids)) == len(ids) == 2 * COUNT
    assert server.settings["defaultIndex"] == {"userValue": "mine"}, "a person's choice was undone"


def test_a_yes_that_wrote_nothing_is_not_believed(
    server: DashboardsServer, dashboards: Dashboards
) -> None:
    server.writes_nothing = True
    with pytest.raises(InstallError, match=rf"{COUNT} of {COUNT} objects are not there"):
        dashboards.install()


def test_an_object_that_is_there_in_another_form_is_told(
    server: DashboardsServer, dashboards: Dashboards
) -> None:
    plain = server.take

    def take(place: tuple[str, str], lines: list[Any], *, overwrite: bool) -> Any:
        lines[3]["attributes"]["title"] = "somebody else's"
        return plain(place, lines, overwrite=overwrite)

    server.take = take  # type: ignore[method-assign]
    with pytest.raises(InstallError, match="1 of"):
        dashboards.install()


def test_what_is_refused_is_named_and_nothing_is_claimed(
    server: DashboardsServer, dashboards: Dashboards
) -> None:
    objects = saved_objects()[1:]
    with pytest.raises(InstallError, match=r"missing_references.*opentrail-events"):
        dashboards._import(objects)
    assert server.stored == {}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((401, b"Unauthorized"), "status 401: Unauthorized; user and password"),
        ((403, {"message": "Forbidden"}), "may not write to that tenant"),
        ((404, {"message": "Not Found"}), "with its base path"),
        ((413, b""), "a proxy"),
        ((422, {"message": "a more recent version"}), "a more recent version"),
        ((200, b"<html>log in</html>"), "status 200"),
    ],
)
def test_a_refusal_says_what_to_look_at(
    server: DashboardsServer, answer: tuple[int, Any], says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    server.refuses = answer
    assert main(["dashboards", "install", "--url", server.url]) == 1
    assert says in capsys.readouterr().err


def test_without_an_index_yet_it_says_what_will_be_seen(
    server: DashboardsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.has_index = False
    assert main(["dashboards", "install", "--url", server.url]) == 0
    assert "no index of events yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--url", "localhost:5601"], 78),
        (["--url", "http://x:1", "--user", "me"], 78),
        (["--url", "http://x:1", "--workspace", "../api"], 2),
        (["--url", "http://x:1", "--tenant", "a\r\nb: c"], 2),
        (["--url", "http://127.0.0.1:9"], 1),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_sent(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboards", "install", *arguments]) == code
    assert capsys.readouterr().err.startswith("opentrail: ")


def test_the_password_goes_along(server: DashboardsServer, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    seen: list[str] = []
    handler = server._server.RequestHandlerClass
    plain = handler._answer  # type: ignore[attr-defined]

    def answer(self: Any) -> None:
        seen.append(self.headers.get("Authorization", ""))
        plain(self)

    handler._answer = answer  # type: ignore[attr-defined]
    url = ["--url", server.url, "--user", "me", "--password-file", str(password)]
    assert main(["dashboards", "install", *url]) == 0
    assert set(seen) == {"Basic bWU6c2VjcmV0"}


def test_an_export_is_what_an_installation_sends(
    server: DashboardsServer, dashboards: Dashboards, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "opentrail.ndjson"
    assert main(["dashboards", "export", str(file)]) == 0
    assert "6 dashboards" in capsys.readouterr().out
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    dashboards.install()
    assert lines == list(server.stored.values())
    assert main(["dashboards", "export", str(tmp_path / "x.json")]) == 2
    assert main(["dashboards", "export", str(tmp_path / "no" / "x.ndjson")]) == 1
