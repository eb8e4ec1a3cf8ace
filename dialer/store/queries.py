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

_PLACE = re.compile(r"%(?:%|\((?P<name>\w+)\)s(?=(?:::(?P<type>(?:double precision|\w+)(?:\[\])?))?))")
"""What psycopg2 replaces in a statement, and the type that is written behind it."""


class Prepared(str):
    """A statement that each connection has planned once: for one that is asked often and does little, planning is half
    of its time.

    The plan is made without knowing the values, and kept until PostgreSQL has looked at one of the tables again, as
    `TallyStore.learn` has it do. It takes an array for one of 10 elements, and what is selected by values for a few
    rows. So there may be no join that is good for few rows only. Of each parameter, the first of its places that names
    a type tells it (`%(ids)s::text[]`): it is not told from the values, which may all be missing. Fails with ValueError
    for a parameter without one.

    As a text it is the statement itself, as for whoever asks it once.
    """

    name: str
    preparing: str
    """What makes it known to a connection, without parameters."""
    asking: str
    """What asks it then, with the same parameters as the statement."""

    def __new__(cls, name: str, text: str) -> Prepared:
        self = super().__new__(cls, text)
        places = [place for place in _PLACE.finditer(text) if place["name"]]
        typed = {place["name"]: place["type"] for place in reversed(places) if place["type"]}
        names = list(dict.fromkeys(place["name"] for place in places))
        if untyped := [name for name in names if name not in typed]:
            raise ValueError(f"{name}: no type of {', '.join(untyped)}")
        types = {name: typed[name] for name in names}
        numbers = {name: f"${number}" for number, name in enumerate(types, 1)}
        given = f" ({', '.join(types.values())})" if types else ""
        values = f" ({', '.join(f'%({name})s::{type}' for name, type in types.items())})" if types else ""
        self.name = name
        self.preparing = f"PREPARE {name}{given} AS {_PLACE.sub(lambda place: numbers.get(place['name'], '%'), text)}"
        self.asking = f"EXECUTE {name}{values}"
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

    With `webhooks` it also tells of what it changes. Without, that part is not in its text, and costs nothing. One that
    begins with the line `-- +prepared` is a `Prepared`.
    """
    text = (sql_folder() / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    if webhooks:
        text = text.replace(WEBHOOKS, (sql_folder() / "parts" / "webhooks.sql").read_text(encoding="utf-8"))
    return Prepared(f"{name}_webhooks" if webhooks else name, text) if text.startswith(PREPARED) else text


def migrations_folder() -> Path:
    """The folder of the migrations; fails with FileNotFoundError."""
    return sql_folder() / "migrations"
