"""Grafana dashboards, Prometheus rules and what starts both, as code; `costeer dashboards` writes.

``panels`` says what a dashboard is made of, ``boards`` which there are, ``rules`` what Prometheus
records and alerts on, ``bundle`` writes the files.
"""
