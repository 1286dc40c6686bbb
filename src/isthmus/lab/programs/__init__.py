"""What runs in the lab's demo containers. Standard library only: these stand for other people's programs."""
