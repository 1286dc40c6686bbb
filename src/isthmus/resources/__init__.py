"""Typed views of the Kubernetes objects we read: only the fields we read, frozen, never written back."""
