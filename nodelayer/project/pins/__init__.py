"""Pinned facts: one module per fact, each with a `PIN`; `refresh` lists them, and compares or writes them."""
