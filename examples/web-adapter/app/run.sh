#!/bin/sh
# The function's handler: the adapter's /opt/bootstrap starts it. `node` is /opt/bin/node of the Node.js layer.
exec node app.js
