"""Namespace and name, by which rooms that do no I/O know objects too."""

from isthmus.kube.meta import Key, Meta

__all__ = ["Key", "Meta"]
