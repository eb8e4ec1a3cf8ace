"""All SQL of the dialer and the connections it runs on."""
