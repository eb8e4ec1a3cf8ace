"""How much of the HTTP interface one caller, and all of them together, may take up."""

from __future__ import annotations

from attrs import frozen

KIB = 2**10
MIB = 2**20


@frozen
class Bounds:
    """Sizes in bytes, times in seconds. What a field means is said of its variable in `settings/limits.py`."""

    body_size: int = 32 * MIB
    bodies: int = 192 * MIB
    head_size: int = 16 * KIB
    headers: int = 100
    list_length: int = 10_000
    connections: int = 1000
    connections_per_address: int = 250
    connections_reserved: int = 32
    idle_time: float = 75.0
    """Above the 60 s for which nginx and the load balancers of AWS keep a connection to what is behind them: closed
    here first, a request that they send at that moment would be lost, and their caller told 502."""
    head_time: float = 10.0
    stall_time: float = 30.0
    pace: float = 1.0 * KIB
    """Bytes per second, below which neither a body is sent nor an answer read."""
    rate: float = 5000.0
    """Requests per second of a caller; 0: as many as they like."""
