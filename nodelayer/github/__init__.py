"""Steps of our GitHub workflows."""
