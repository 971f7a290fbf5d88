"""The web page of published layers, its feed, and code snippets for deployment tools."""
