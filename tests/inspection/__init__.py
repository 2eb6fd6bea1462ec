"""Health and memory: what the watch finds, whom it blames, what it leaves untouched."""
