"""Access keys on the command line: made, shown once, kept to their owner, and signed with."""

import asyncio
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail_aggregator.access.first_key import ensure_first_key
from opentrail_aggregator.access.key_file import KeyFileError, read_key_file
from opentrail_aggregator.access.keys import KeyStore
from tests.aggregator.api.serving import ListEngine, hit, serving
from tests.aggregator.cli.test_commands import Run, run

__all__ = ["run"]


async def test_a_secret_is_shown_once_and_never_listed(tmp_path: Path, run: Run) -> None:
    home = ["--home", str(tmp_path)]
    code, out, _ = await run("keys", "create", "reader", "--account", "1111*", "--region", "eu-*",
                             "--note", "team blue", *home)  # fmt: skip
    secret = out.split("secret access key")[1].split()[0]
    key_id = out.split("access key id")[1].split()[0]
    assert code == 0
    assert KeyStore(tmp_path / "keys", SystemClock()).secret_of(key_id) == secret
    _, table, _ = await run("keys", "list", *home)
    _, text, _ = await run("keys", "list", "--output", "json", *home)
    assert key_id in table
    assert secret not in table + text
    (listed,) = json.loads(text)
    assert (listed["accounts"], listed["regions"], listed["role"]) == (
        ["1111*"],
        ["eu-*"],
        "reader",
    )


async def test_a_key_is_disabled_enabled_and_deleted(tmp_path: Path, run: Run) -> None:
    home = ["--home", str(tmp_path)]
    _, out, _ = await run("keys", "create", "auditor", "--output", "json", *home)
    key_id = json.loads(out)["access_key_id"]
    store = KeyStore(tmp_path / "keys", SystemClock())
    for command, usable in (("disable", False), ("enable", True), ("delete", False)):
        assert (await run("keys", command, key_id, *home))[0] == 0
        assert (store.secret_of(key_id) is not None) is usable
    code, _, err = await run("keys", "disable", key_id, *home)
    assert code == 1
    assert "keys list" in err


async def test_a_key_file_is_for_its_owner_only(tmp_path: Path, run: Run) -> None:
    target = tmp_path / "my.key"
    _, out, _ = await run(
        "keys", "create", "reader", "--key-file", str(target), "--home", str(tmp_path)
    )
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert read_key_file(target).secret not in out
    assert read_key_file(target).secret not in repr(read_key_file(target))
    code, _, err = await run(
        "keys", "create", "reader", "--key-file", str(target), "--home", str(tmp_path)
    )
    assert (code, "is there already" in err) == (2, True)
    nowhere = str(tmp_path / "none" / "x")
    before = KeyStore(tmp_path / "keys", SystemClock()).list()
    code, _, err = await run(
        "keys", "create", "reader", "--key-file", nowhere, "--home", str(tmp_path)
    )
    assert (code, "cannot be written" in err) == (2, True)
    assert KeyStore(tmp_path / "keys", SystemClock()).list() == before
    target.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key_file(target)
    target.chmod(0o600)
    target.write_text('{"access_key_id": "x", "secret": "hush"}')
    with pytest.raises(KeyFileError) as caught:
        read_key_file(target)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments", [["create", "king"], ["create", "reader", "--account", "A B"], ["create"]]
)
async def test_what_makes_no_key_exits_2(tmp_path: Path, run: Run, arguments: list[str]) -> None:
    assert (await run("keys", *arguments, "--home", str(tmp_path)))[0] == 2


async def test_the_key_file_that_is_named_goes_before_the_homes_own(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, ListEngine([hit(1)])):
        code, out, _ = await run("count", "--home", str(tmp_path))
        assert (code, out) == (0, "1\n")
        target = tmp_path / "writer.key"
        await run("keys", "create", "writer", "--key-file", str(target), "--home", str(tmp_path))
        monkeypatch.setenv("OPENTRAIL_KEY_FILE", str(target))
        code, _, err = await run("count", "--home", str(tmp_path))
        assert (code, "may not search" in err) == (1, True)
        monkeypatch.setenv("OPENTRAIL_KEY_FILE", str(tmp_path / "none"))
        code, _, err = await run("count", "--home", str(tmp_path))
        assert (code, "no access key" in err) == (1, True)


def variables_after(script: str) -> dict[str, str]:
    """The environment of a shell that had a profile and a session, and evaluated `script`."""
    before = {"PATH": os.environ["PATH"], "AWS_PROFILE": "p", "AWS_SESSION_TOKEN": "t"}
    done = subprocess.run(
        ["sh", "-c", script + "env"], env=before, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


async def test_env_is_what_a_shell_can_eval(tmp_path: Path, run: Run) -> None:
    async with serving(tmp_path, changes={"install.home_region": "eu-west-1"}):
        code, out, _ = await run("env", "--home", str(tmp_path))
    assert code == 0
    found = await asyncio.to_thread(variables_after, out)
    variables = {name: value for name, value in found.items() if name.startswith("AWS_")}
    key = read_key_file(tmp_path / "keys" / "local.json")
    assert variables.pop("AWS_ENDPOINT_URL").startswith("http://127.0.0.1:")
    assert variables == {
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_the_first_key_is_made_once_and_a_deleted_one_stays_deleted(tmp_path: Path) -> None:
    clock = SystemClock()
    ensure_first_key(tmp_path, clock)
    path = tmp_path / "local.json"
    first = read_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ensure_first_key(tmp_path, clock)
    assert read_key_file(path) == first
    store = KeyStore(tmp_path, clock)
    assert [(key.role, key.scope.is_everything) for key in store.list()] == [("admin", True)]
    store.delete(first.id)
    ensure_first_key(tmp_path, clock)
    assert store.list() == []
