"""The SQL files: at the top of a checkout, inside the package `dialer.sql` of an installed wheel."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import dialer

WEBHOOKS = "-- +webhooks"
"""The line of a statement in whose place `sql/parts/webhooks.sql` is put."""


PREPARED = "-- +prepared"
"""The first line of a statement that is `Prepared`."""

_PLACE = re.compile(r"%(?:%|\((\w+)\)s)")
"""What psycopg2 replaces in a statement."""


class Prepared(str):
    """A statement that each connection has planned once: for one that is asked often and does little, planning is half
    of its time.

    The plan is made without knowing the values, and kept for a while (`PLAN_AGE` in `store/link.py`). PostgreSQL takes
    an array for one of 10 elements, and what it selects by values for a few rows. So there may be no join that is good
    for few rows only. Types that PostgreSQL cannot tell from the text are written there (`%(types)s::text[]`). Columns
    have names: once a `*` has grown, connections do without the plan.

    As a text it is the statement itself, as for whoever asks it once.
    """

    name: str
    preparing: str
    """What makes it known to a connection, without parameters."""
    forgetting: str
    """What undoes that."""
    asking: str
    """What asks it then, with the same parameters as the statement."""

    def __new__(cls, name: str, text: str) -> Prepared:
        self = super().__new__(cls, text)
        names = list(dict.fromkeys(found for found in _PLACE.findall(text) if found))
        numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
        self.name = name
        self.preparing = f"PREPARE {name} AS {_PLACE.sub(lambda place: numbers.get(place[1], '%'), text)}"
        self.forgetting = f"DEALLOCATE {name}"
        values = ", ".join(f"%({name})s" for name in names)
        self.asking = f"EXECUTE {name} ({values})" if values else f"EXECUTE {name}"
        return self


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
    return Prepared(name, text) if text.startswith(PREPARED) else text


def migrations_folder() -> Path:
    """The folder of the migrations; fails with FileNotFoundError."""
    return sql_folder() / "migrations"
