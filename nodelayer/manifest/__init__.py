"""What has been published: layers.json, and looking up a layer in it."""
