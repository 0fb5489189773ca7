"""Keys are shown once, kept sealed, and stop working at once when disabled or deleted."""

import json
from pathlib import Path

import pytest

from opentrail.errors import DamagedError, UsageError
from opentrail_aggregator.access.keys import AccessKeyError, KeyStore
from opentrail_aggregator.access.scope import ROLES, Scope
from tests.fakes.clock import FakeClock


def test_a_key_is_made_found_and_unsealed_by_another_process(tmp_path: Path) -> None:
    made, secret = KeyStore(tmp_path, FakeClock()).create("reader", Scope(("1*",), ("eu-*",)), "x")
    other = KeyStore(tmp_path, FakeClock())
    assert other.get(made.id) == made
    assert other.secret_of(made.id) == secret
    assert len(secret) == 40


def test_no_secret_lies_in_the_clear(tmp_path: Path) -> None:
    store = KeyStore(tmp_path, FakeClock())
    _, secret = store.create("admin", Scope())
    assert all(secret.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_a_disabled_or_deleted_key_stops_working_elsewhere_at_once(tmp_path: Path) -> None:
    store, server = KeyStore(tmp_path, FakeClock()), KeyStore(tmp_path, FakeClock())
    key, secret = store.create("admin", Scope())
    assert server.secret_of(key.id) == secret
    store.set_state(key.id, "disabled")
    assert server.secret_of(key.id) is None
    store.set_state(key.id, "active")
    assert server.secret_of(key.id) == secret
    store.delete(key.id)
    assert server.secret_of(key.id) is None
    with pytest.raises(AccessKeyError, match="opentrail keys list"):
        store.delete(key.id)


def test_a_secret_moved_under_another_key_is_noticed(tmp_path: Path) -> None:
    store = KeyStore(tmp_path, FakeClock())
    first, _ = store.create("admin", Scope())
    second, _ = store.create("reader", Scope())
    content = json.loads(store.path.read_bytes())
    entries = {entry["id"]: entry for entry in content["keys"]}
    entries[first.id]["sealed"] = entries[second.id]["sealed"]
    entries[first.id]["nonce"] = entries[second.id]["nonce"]
    store.path.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match="not sealed with"):
        KeyStore(tmp_path, FakeClock()).secret_of(first.id)


def test_a_seal_that_others_may_read_is_refused(tmp_path: Path) -> None:
    store = KeyStore(tmp_path, FakeClock())
    key, _ = store.create("admin", Scope())
    (tmp_path / "seal.key").chmod(0o644)
    with pytest.raises(DamagedError, match="chmod 600"):
        KeyStore(tmp_path, FakeClock()).secret_of(key.id)


def test_roles_are_what_they_say() -> None:
    assert set(ROLES) == {"reader", "auditor", "admin", "writer"}
    with pytest.raises(UsageError, match="is not one of reader, auditor, admin, writer"):
        KeyStore(Path("/nowhere"), FakeClock()).create("root", Scope())


@pytest.mark.parametrize(
    ("role", "search", "inspect", "operate", "write"),
    [
        ("reader", True, False, False, False),
        ("auditor", True, True, False, False),
        ("admin", True, True, True, True),
        ("writer", False, False, False, True),
    ],
)
def test_a_role_may_what_its_table_says(
    tmp_path: Path, role: str, search: bool, inspect: bool, operate: bool, write: bool
) -> None:
    store = KeyStore(tmp_path, FakeClock())
    key, _ = store.create(role, Scope())
    assert (key.may("search"), key.may("inspect"), key.may("operate"), key.may("write")) == (
        search,
        inspect,
        operate,
        write,
    )
    assert not store.set_state(key.id, "disabled").may("search")


def test_a_scope_is_of_account_and_region() -> None:
    scope = Scope(("1111*", "222233334444"), ("eu-*",))
    assert scope.covers("111122223333", "eu-west-1")
    assert not scope.covers("111122223333", "us-east-1")
    assert not scope.covers("333322221111", "eu-west-1")
    assert Scope().is_everything
    with pytest.raises(ValueError, match="is no pattern"):
        Scope(("../x",))
