"""What every layer uses: settings, problems, logging, metrics and the ways out to HTTP and SQLite."""
