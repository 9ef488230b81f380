"""Where a run is sent as it grows and when it ends."""
