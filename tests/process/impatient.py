"""`twistd` with those times shortened that no setting shortens: what is gone is given up after a second, not after ten.
What is done in parts is done in small ones, and what is done now and then is done often.

A test of what happens next need not wait for them; that they are kept is shown elsewhere.
"""

from __future__ import annotations

from twisted.scripts.twistd import run

from dialer import ends, reconcile, retention, tally
from dialer.store import campaigns

reconcile.APART = 0.3
reconcile.YOUNGEST = 1.0
reconcile.WITNESS_EVERY = 0.2
reconcile.TOLD = 1.0
ends.RIPE = 0.5
retention.EVERY = retention.AGAIN = 0.2
tally.EVERY = tally.MEND_AGAIN = 0.2
tally.LEAST = 1
campaigns.AT_ONCE = 2

if __name__ == "__main__":
    run()
