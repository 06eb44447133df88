"""Ray: start or join a cluster, place hosts on it, end them. The only place that imports it."""
