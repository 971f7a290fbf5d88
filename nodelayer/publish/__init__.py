"""Publishing to Lambda."""
