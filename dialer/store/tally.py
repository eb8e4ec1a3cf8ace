"""The tally of contacts: how many there are of each kind, and how old the oldest of each lane is.

Triggers append each change of it in the transaction of the change itself (see the migration that made it); here the
changes are folded into sums, and the sums held against the truth.
"""

from __future__ import annotations

from dialer.store.database import Database, Run
from dialer.store.queries import sql

FOLD_AT_ONCE = 20_000
"""Changes that one statement folds: well within the time limit of a statement."""


class TallyStore:
    """Upkeep of the tally. All methods fail with DatabaseDown or CommitUnknown; repeating them does no harm."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(self, least: int) -> int:
        """Fold the changes if there are at least so many and nobody else is folding; how many were folded."""

        # Mostly there are not enough, and that takes no transaction.
        if not await self._database.run(sql("tally_turn"), {"least": least}):
            return 0

        async def in_turn(run: Run) -> int:
            if not await run(sql("tally_turn"), {"least": least}):
                return 0
            (folded,) = await run(sql("tally_fold"), {"most": FOLD_AT_ONCE})
            await run(sql("tally_sweep"), {})
            return int(folded["changes"])

        return await self._database.transaction(in_turn)

    async def learn(self) -> None:
        """Have PostgreSQL look at the tables that have changed much since it last did, unless somebody just does."""

        async def in_turn(run: Run) -> None:
            if not await run(sql("tally_turn"), {"least": 0}):
                return
            # Autovacuum, whose lock is the same, is not to be driven away by somebody who waits.
            await run("SET LOCAL lock_timeout = '100ms'")
            for row in await run(sql("unlearned"), {}):
                await run(f"ANALYZE {row['relname']}")

        await self._database.transaction(in_turn)

    async def mend(self) -> int:
        """Put right what is wrong; how many kinds of contacts were. Looks at every contact."""

        async def compare(run: Run) -> int:
            # One at a time: two that find the same mistake would both put it right.
            await run(sql("tally_lock"), {})
            await run("SET LOCAL enable_seqscan = on")
            (wrong,) = await run(sql("tally_mend"), {})
            return int(wrong["kinds"])

        return await self._database.transaction(compare)
