"""systemd units for a deployment."""
