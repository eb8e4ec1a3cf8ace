"""The variables of the process: its name, and what it tells."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel

from dialer import rules
from dialer.variable import Flag, by_rule, one_of, variable


class ProcessSettings(BaseModel):
    """The process."""

    dialer_id: Annotated[str, by_rule(rules.DIALER_ID)] = variable(
        None,
        "names this process in the database; unique among those that share one",
        rules.DIALER_ID.allowed,
        shown="host name",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARN", "ERROR"], one_of("DEBUG", "INFO", "WARN", "ERROR")] = (
        variable("INFO", "`DEBUG` `INFO` `WARN` `ERROR`", "DEBUG, INFO, WARN or ERROR")
    )
    log_format: Annotated[Literal["text", "json"], one_of("text", "json")] = variable(
        "text", "`text` for people, or `json`: an object in each line", "text or json"
    )
    log_mask_numbers: Flag = variable(
        "0", "`1`: of customers' numbers the log shows the last three digits only", "0 or 1"
    )
