"""What a deploy does, step by step."""
