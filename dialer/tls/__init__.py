"""TLS from files that operators renew: checked at the start, and read again when they change."""
