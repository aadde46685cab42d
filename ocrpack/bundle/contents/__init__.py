"""What is in a bundle besides the packager's files."""
