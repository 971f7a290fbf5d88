"""A function on a layer as a SAM application: the sample function, or the user's."""
