"""What a render is worth: a reader that recovers attributes from frames, and metrics that are exact in the world."""
