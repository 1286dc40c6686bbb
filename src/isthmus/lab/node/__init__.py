"""One node of a lab cluster: pods as processes, and the services around them."""
