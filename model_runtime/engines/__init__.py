"""What turns a request into frames: one file and one line in the registry per engine."""
