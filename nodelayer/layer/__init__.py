"""A verified layer zip: its files, its compatibility with Lambda runtimes, its build record."""
