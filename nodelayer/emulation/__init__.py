"""AWS Lambda on this machine: the Runtime Interface Emulator, and an emulator of AWS."""
