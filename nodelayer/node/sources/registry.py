"""The sources of Node.js binaries by the name that --source takes. auto.py opens them.

To add a source, write a module beside this one and add a line to SOURCES:

- a mirror with the layout of nodejs.org/dist: a subclass of `nodejs_org.DistSource` with `name` and `home`;
- anything else: a class with the methods of `base.CachingSource`, whose constructor takes a
  `base.SourceContext`.

The help and the choices of --source, and the names that a build record accepts, follow from SOURCES. Add the
name to AUTO_ORDER as well if `auto` may use the source.
"""

SOURCES = {
    "nodejs.org": "nodelayer.node.sources.nodejs_org:NodejsOrg",
    "npm": "nodelayer.node.sources.npm:Npm",
}
"""The class of each source by the name that --source takes."""

AUTO_ORDER = ("nodejs.org", "npm")
"""The sources that `auto` tries, in this order."""

AUTO = "auto"
