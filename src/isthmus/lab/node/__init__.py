"""One node of a lab cluster: pods as processes, service addresses, cluster DNS, controllers."""
