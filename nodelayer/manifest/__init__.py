"""The manifest of published layers (layers.json), and looking up a layer in it."""
