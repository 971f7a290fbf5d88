"""Publish Node.js as customer-managed Lambda runtimes."""
