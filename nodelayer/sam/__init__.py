"""The sample function as a SAM application."""
