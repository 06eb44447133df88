"""CoSteer among its neighbours: other ways to combine distributions, each tuned alike."""
