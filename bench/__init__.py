"""What callsheet costs, as ratios to the bare tool measured in the same run (docs/performance.md)."""
