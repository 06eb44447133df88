"""How the cluster under a run is doing: Ray's own metrics, and what our hosts did on each node.

Ray exports these from every node (``ray start --metrics-export-port``); names as of Ray 2.60.
"""

from __future__ import annotations

from experiments.dashboards.panels import RATE, Board, Panel, Query

RAY = Board(
    "costeer-ray",
    "CoSteer: Ray health",
    "The cluster's nodes, actors and memory, and what the run's hosts do on each node.",
    (
        Panel(
            "Nodes that are alive",
            "Falls when a node is lost; its hosts are made again elsewhere.",
            "none",
            (Query("sum(ray_cluster_active_nodes)", "nodes"),),
        ),
        Panel(
            "Actors by state",
            "A run has one for the cloud and one for each shard of devices.",
            "none",
            (Query("sum by (State) (ray_actors)", "{{State}}"),),
            stacked=True,
        ),
        Panel(
            "CPU of each node",
            "Hosts on a node that has none left make live runs late.",
            "percent",
            (Query("max by (ip) (ray_node_cpu_utilization)", "{{ip}}"),),
        ),
        Panel(
            "Memory of each node",
            "Share in use; Ray kills workers above 95 %.",
            "percentunit",
            (Query("max by (ip) (ray_node_mem_used / ray_node_mem_total)", "{{ip}}"),),
        ),
        Panel(
            "Logical CPUs",
            "What actors have reserved, and what is left for more.",
            "none",
            (Query('sum by (State) (ray_resources{Name="CPU"})', "{{State}}"),),
            stacked=True,
        ),
        Panel(
            "Object store",
            "Messages above 100 KB pass through it: dense rows do, compressed ones do not.",
            "bytes",
            (
                Query("sum(ray_object_store_used_memory)", "used"),
                Query("sum(ray_object_store_available_memory)", "available"),
            ),
        ),
        Panel(
            "Spilled to disk",
            "Anything above 0 slows every step that touches it.",
            "bytes",
            (Query("sum by (State) (ray_spill_manager_objects_bytes)", "{{State}}"),),
        ),
        Panel(
            "Memory of Ray's processes",
            "Resident, by what they are; hosts carry the names of their actors.",
            "bytes",
            (Query("sum by (Component) (ray_component_rss_bytes)", "{{Component}}"),),
        ),
        Panel(
            "Workers that failed to start",
            "By reason; of the time shown.",
            "none",
            (
                Query(
                    "sum by (Reason) (increase(ray_scheduler_failed_worker_startup_total"
                    "[$__range]))",
                    "{{Reason}}",
                ),
            ),
        ),
        Panel(
            "How busy hosts are",
            "Wall time at operations, per second and node; more than one host makes more than 1.",
            "percentunit",
            (
                Query(
                    f"sum by (node, role) (rate(costeer_host_busy_seconds_total{RATE}))",
                    "{{node}} {{role}}",
                ),
            ),
        ),
        Panel(
            "Operations of hosts",
            "Forwards, selects, decodes and choices, by kind.",
            "ops",
            (
                Query(
                    f"sum by (operation) (rate(costeer_host_operations_total{RATE}))",
                    "{{operation}}",
                ),
            ),
        ),
        Panel(
            "Operations of one call",
            "How well a driver packs what hosts are asked into messages.",
            "none",
            (
                Query(
                    f"sum by (role) (rate(costeer_host_operations_total{RATE}))"
                    f" / sum by (role) (rate(costeer_host_calls_total{RATE}))",
                    "{{role}}",
                ),
            ),
        ),
    ),
    clocked=False,
)
