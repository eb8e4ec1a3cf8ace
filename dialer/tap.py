"""`twistd -n dialer`: reads the environment and hands twistd the service."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.logger import ILogObserver
from twisted.python import usage

from dialer import environment, logs
from dialer.masking import Masking

GARBAGE = (700, 3, 100)
"""When to look for garbage (`gc.set_threshold`). Nothing is served meanwhile: a look at the second generation comes
after so few of the first that it takes 2 ms and not 4; one at everything after 100 of these, when 280,000 objects can
wait for it at most, and not ten times until then to find nothing."""


class Options(usage.Options):
    """The dialer has no options: it is configured by the environment (README, Configuration)."""


class Root(MultiService):
    """The top of the service tree; brings its own log observer, so that LOG_LEVEL holds from the first line."""

    def __init__(self, observer: ILogObserver) -> None:
        super().__init__()
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        """Twistd starts its log with the observer that the application carries."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)


def makeService(options: Options) -> IService:  # noqa: ARG001  there are none
    """The whole dialer. A wrong setting ends the process with one line that names it."""
    try:
        configured = environment.load(os.environ)
    except environment.SettingsError as error:
        raise SystemExit(f"dialer: {error}") from None
    # Only now: importing klein installs the reactor, which twistd's own options choose.
    from twisted.internet import reactor  # noqa: PLC0415

    from dialer.service import Dialer  # noqa: PLC0415

    mask = Masking(numbers=configured.log_mask_numbers, secrets=configured.secrets)
    if configured.demo:
        # The terminal belongs to the progress display; what goes wrong is shown there too.
        configured.data_folder.mkdir(parents=True, exist_ok=True)
        file = open(configured.data_folder / "dialer.log", "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        observer = logs.tee(
            logs.observer(configured.log_level, file, form=configured.log_format, mask=mask),
            logs.observer("WARN", sys.stderr, mask=mask),
        )
    else:
        observer = logs.observer(configured.log_level, sys.stdout, form=configured.log_format, mask=mask)
    root = Root(observer)
    Dialer(reactor, configured).setServiceParent(root)
    # What is loaded by now stays: looking through it for garbage would hold up all calls for 40 ms, now and then.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    return root
