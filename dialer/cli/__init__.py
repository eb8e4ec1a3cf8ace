"""The command `dialer`: what an operator asks of a dialer, over its HTTP interface."""
