"""The dialer's figures as Prometheus takes them. No other part knows Prometheus."""
