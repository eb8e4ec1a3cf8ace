"""The event socket of FreeSWITCH: bytes, commands, and the switches that the dialer calls through."""
