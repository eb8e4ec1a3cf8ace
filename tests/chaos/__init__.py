"""`python -m tests.chaos`: all that can die does while contacts are dialed; then everybody's records are compared."""
