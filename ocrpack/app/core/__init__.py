"""Settings, problems, JSON, shared files, processors and memory: what all other folders use."""
