"""The sources of Node.js binaries by the name that --source takes. auto.py opens them.

To add a source, for example a mirror: write a module with a class like `npm.Npm`, which is made from a
`base.SourceContext` and has what `base.CachingSource` asks for, and add its line to SOURCES. The help and the
choices of --source, the order of `auto` and the names that a build record accepts follow from it.
"""

SOURCES = {
    "nodejs.org": "nodelayer.node.sources.nodejs_org:NodejsOrg",
    "npm": "nodelayer.node.sources.npm:Npm",
}
"""The class of each source by the name that --source takes, in the order in which `auto` tries them."""

AUTO = "auto"
CHOICES = (AUTO, *SOURCES)
