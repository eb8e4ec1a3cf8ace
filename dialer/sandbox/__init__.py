"""What is provided when nothing real is configured: products of their own that know nothing of the dialer."""
