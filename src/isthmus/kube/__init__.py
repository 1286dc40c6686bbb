"""The Kubernetes client: calls, watch caches, work queues, leader election, events and what every process serves."""
