"""The SQL files: at the top of a checkout, inside the package `dialer.sql` of an installed wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import dialer

WEBHOOKS = "-- +webhooks"
"""The line of a statement in whose place `sql/parts/webhooks.sql` is put."""


@cache
def sql_folder() -> Path:
    """The folder with `queries`, `parts` and `migrations`; fails with FileNotFoundError."""
    package = Path(dialer.__file__).parent
    for folder in (package / "sql", package.parent / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise FileNotFoundError(f"no sql/migrations in {package} or beside it")


@cache
def sql(name: str, *, webhooks: bool = False) -> str:
    """The statement in `sql/queries/<name>.sql`, read once; fails with FileNotFoundError.

    With `webhooks` it also tells of what it changes. Without, that part is not in its text, and costs nothing.
    """
    text = (sql_folder() / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    if webhooks:
        text = text.replace(WEBHOOKS, (sql_folder() / "parts" / "webhooks.sql").read_text(encoding="utf-8"))
    return text


def migrations_folder() -> Path:
    """The folder of the migrations; fails with FileNotFoundError."""
    return sql_folder() / "migrations"
