"""`twistd` with those times shortened that no setting shortens: what is gone is given up after a second, not after ten.

A test of what happens next need not wait for them; that they are kept is shown elsewhere.
"""

from __future__ import annotations

from twisted.scripts.twistd import run

from dialer import ends, reconcile

reconcile.APART = 0.3
reconcile.YOUNGEST = 1.0
reconcile.WITNESS_EVERY = 0.2
ends.RIPE = 0.5

if __name__ == "__main__":
    run()
