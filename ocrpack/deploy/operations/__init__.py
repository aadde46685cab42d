"""What a person asks for: deploy, rollback, start, stop, verify, and so on."""
