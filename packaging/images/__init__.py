"""The images that the manifests run, as one OCI archive: no daemon, no root, equal bytes for equal packages.

`python -m images` from the folder above; `make image` does it.
"""
