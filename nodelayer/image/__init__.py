"""The files of a layer as an OCI image, for customer-managed Lambda runtimes and for Docker."""
