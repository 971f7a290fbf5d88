"""What refreshes each pinned fact from its own source."""
