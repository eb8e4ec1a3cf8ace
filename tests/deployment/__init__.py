"""What the dialer is delivered with: lock files, licences, container, systemd unit."""
