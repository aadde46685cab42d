"""What every part of the app uses: settings, problems, JSON, shared files."""
