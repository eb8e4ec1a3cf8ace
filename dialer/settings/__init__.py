"""Every variable of the dialer's environment with its unit, default and bounds, a file for each subject.
`environment.py` reads them.
"""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from dialer.addresses import password_of
from dialer.settings.access import AccessSettings
from dialer.settings.database import DatabaseSettings
from dialer.settings.dialing import DialingSettings
from dialer.settings.efswitch import EFSwitchSettings
from dialer.settings.http import HttpSettings
from dialer.settings.limits import LimitSettings
from dialer.settings.process import ProcessSettings
from dialer.settings.provided import ProvidedSettings, nothing_configured
from dialer.settings.vc import VCSettings
from dialer.settings.webhooks import WebhookSettings
from dialer.variable import told


# pydantic counts the fields from the last base to the first: in that order they are checked and stand in the README.
class Settings(
    ProcessSettings,
    LimitSettings,
    AccessSettings,
    HttpSettings,
    WebhookSettings,
    DialingSettings,
    VCSettings,
    EFSwitchSettings,
    DatabaseSettings,
    ProvidedSettings,
    BaseSettings,
):
    """What the environment says, checked and frozen: `environment.load` is the only way in.

    A field is named after its variable in lower case. Waits are seconds, whatever unit the variable has. None: not
    set, and there is no default that a constant can tell.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but what `environment.load` gives."""
        return (init_settings,)

    @property
    def nothing_configured(self) -> bool:
        """Whether nothing real is named: everything is provided, on loopback, with data of its own."""
        return nothing_configured(vars(self))

    @property
    def demo(self) -> bool:
        """Whether sample campaigns are loaded and their progress shown: not for who names the simulators on purpose."""
        return self.nothing_configured and not self.sandbox

    @property
    def provide_efswitch(self) -> bool:
        """Whether the EFSwitch simulator stands in."""
        return self.nothing_configured or "efswitch" in self.sandbox

    @property
    def provide_vc(self) -> bool:
        """Whether the VC sandbox stands in."""
        return self.nothing_configured or "vc" in self.sandbox

    @property
    def secrets(self) -> frozenset[str]:
        """The secrets, wherever they were given: what no line of the log may hold."""
        values = [getattr(self, name) for name in secret_fields() if name != "db_url"]
        each = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
        # Of the database's URL the password alone; of a token only its digest is known.
        return frozenset({one for one in each if isinstance(one, str)} | {password_of(self.conninfo or "")}) - {""}

    def shorter_secrets(self, than: int) -> tuple[str, ...]:
        """The variables whose password was set and has fewer characters. Tokens and keys of webhooks have more."""
        esl, database = self.esl_password, password_of(self.conninfo or "")
        given = {
            # What everybody knows is no secret.
            "ESL_PASSWORD": "" if esl == type(self).model_fields["esl_password"].default else esl,
            "DB_PASS" if database == self.db_pass else "DB_URL": database,
        }
        return tuple(name for name, password in given.items() if 0 < len(password) < than)

    @property
    def data_folder(self) -> Path:
        """Where the embedded PostgreSQL keeps its data, below the working directory; samples apart from any other."""
        return Path("var", "sandbox" if self.nothing_configured else "postgres")


def secret_fields() -> tuple[str, ...]:
    """The fields that are shown nowhere; each may be in a file instead."""
    return tuple(name for name, field in Settings.model_fields.items() if told(field, "secret"))
