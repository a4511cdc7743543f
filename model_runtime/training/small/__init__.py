"""`humo-small`: the one model that is trained here from nothing, piece by piece."""
