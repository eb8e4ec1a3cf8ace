"""`python -m tests.bench`: the published benchmark, repeated against a dialer with everything real but the calls."""
