"""The parts of AWS that nodelayer uses. The only package that imports boto3."""
