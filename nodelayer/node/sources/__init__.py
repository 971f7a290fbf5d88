"""Where Node.js binaries come from: one module for each source; registry.py lists them."""
