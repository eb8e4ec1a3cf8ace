"""The SQL files: at the top of a checkout, inside the package `dialer.sql` of an installed wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import dialer


@cache
def sql_folder() -> Path:
    """The folder with `queries` and `migrations`; fails with FileNotFoundError."""
    package = Path(dialer.__file__).parent
    for folder in (package / "sql", package.parent / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise FileNotFoundError(f"no sql/migrations in {package} or beside it")


@cache
def sql(name: str) -> str:
    """The statement in `sql/queries/<name>.sql`, read once; fails with FileNotFoundError."""
    return (sql_folder() / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def migrations_folder() -> Path:
    """The folder of the migrations; fails with FileNotFoundError."""
    return sql_folder() / "migrations"
