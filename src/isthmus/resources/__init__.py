"""Typed views of the Kubernetes objects we read: only the fields we read, frozen, never written back.

They refer to nothing that refers back, so the garbage collector need not look at them (`gc=False`): with thousands of
objects cached, its pauses would otherwise be the slowest thing that a process does.
"""
