"""Where Node.js binaries come from: one module for each source, listed in registry.py."""
