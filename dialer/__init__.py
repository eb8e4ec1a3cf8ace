"""An outbound campaign dialer: contacts come in over HTTP, are kept in PostgreSQL and dialed through FreeSWITCH."""
