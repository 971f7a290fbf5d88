"""A verified upstream release of Node.js: which version, from which source, with which signature."""
