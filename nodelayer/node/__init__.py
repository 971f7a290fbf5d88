"""Verified upstream releases of Node.js: versions, sources, signatures."""
