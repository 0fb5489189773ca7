"""keys create, list, disable, enable and delete: access keys, in the home folder itself.

A running aggregator takes every change up with the next request.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from opentrail.clock import SystemClock
from opentrail.errors import UsageError
from opentrail_aggregator.access.key_file import KeyPair, key_file_content, write_key_file
from opentrail_aggregator.access.keys import AccessKey, AccessKeyError, KeyStore
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.api.times import iso_time
from opentrail_aggregator.cli.client import home_of
from opentrail_aggregator.cli.table import Column, Table
from opentrail_aggregator.home import Home

_COLUMNS = (
    Column("KEY", 20, importance=9),
    Column("ROLE", 7, importance=8),
    Column("STATE", 8, importance=7),
    Column("ACCOUNTS", 8, importance=5),
    Column("REGIONS", 7, importance=4),
    Column("MADE", 20, importance=2),
    Column("NOTE", 8, importance=3),
)


def create(options: argparse.Namespace) -> int:
    """`opentrail keys create ROLE`."""
    try:
        scope = Scope(tuple(options.account) or ("*",), tuple(options.region) or ("*",))
    except ValueError as error:
        raise UsageError(str(error)) from None
    target = Path(options.key_file) if options.key_file else None
    if target is not None and target.exists():
        raise UsageError(f"{target}: is there already; name another file, or remove it first")
    if target is not None and not os.access(target.absolute().parent, os.W_OK):
        # Known before the key is made: its secret could be shown to nobody.
        raise UsageError(f"{target.absolute().parent}: cannot be written to; name another file")
    key, secret = _store(options).create(options.role, scope, options.note)
    pair = KeyPair(key.id, secret)
    if target is not None:
        write_key_file(target.absolute(), pair)
        print(f"{key.id} is in {target}")
    elif options.output == "json":
        print(key_file_content(pair).decode(), end="")
    else:
        print(f"access key id      {key.id}")
        print(f"secret access key  {secret}")
        print("Keep the secret now: it is not shown again.")
    return 0


def show_list(options: argparse.Namespace) -> int:
    """`opentrail keys list`."""
    keys = _store(options).list()
    if options.output == "json":
        print(json.dumps([_described(key) for key in keys], indent=2))
        return 0
    rows = (
        (each["id"], each["role"], each["state"], ",".join(each["accounts"]),
         ",".join(each["regions"]), each["created_at"], each["note"])
        for each in map(_described, keys)
    )  # fmt: skip
    print("\n".join(Table(_COLUMNS).lines(rows)))
    return 0


def disable(options: argparse.Namespace) -> int:
    """`opentrail keys disable KEY_ID`."""
    _store(options).set_state(options.key, "disabled")
    print(f"{options.key} is disabled")
    return 0


def enable(options: argparse.Namespace) -> int:
    """`opentrail keys enable KEY_ID`."""
    _store(options).set_state(options.key, "active")
    print(f"{options.key} is active")
    return 0


def delete(options: argparse.Namespace) -> int:
    """`opentrail keys delete KEY_ID`."""
    _store(options).delete(options.key)
    print(f"{options.key} is deleted")
    return 0


def _store(options: argparse.Namespace) -> KeyStore:
    home = Home(home_of(options).absolute())
    if not home.path.is_dir():
        raise AccessKeyError(f"{home.path}: there is no such home; name it with --home")
    return KeyStore(home.keys, SystemClock())


def _described(key: AccessKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "role": key.role,
        "state": key.state,
        "accounts": list(key.scope.accounts),
        "regions": list(key.scope.regions),
        "created_at": iso_time(key.created_at),
        "note": key.note,
    }
