"""Training sets out of videos: clips, cross-pair references, speech in sync; as shards with digests."""
