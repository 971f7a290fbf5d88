"""Helpers for every package: console, downloads, cache, threads, git. None knows Node.js or Lambda."""
