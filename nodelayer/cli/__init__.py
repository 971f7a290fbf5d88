"""The commands: flags in, exit code out. The only package that imports Invoke."""
