"""What consumers look at: the web page of published layers, its feed, and snippets for their tools."""
