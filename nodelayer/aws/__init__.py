"""AWS as this project needs it. The only package that imports boto3."""
