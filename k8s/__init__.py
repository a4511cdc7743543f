"""Where it runs: the cluster's manifests and their builder. The laptop's road needs nothing of it."""
