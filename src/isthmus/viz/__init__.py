"""What meshed workloads say to each other: numbers kept for the last minutes, and answers about them."""
