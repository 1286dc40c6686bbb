"""What `linkerd multicluster install` decides for all Links."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`headless`: headless services keep the names of their pods; else their mirrors are plain ones.

    `create_namespaces`: a namespace that an exported service needs is made instead of reported missing.
    The exclusions are for members of federated services in this cluster; Links have their own.
    """

    headless: bool = True
    create_namespaces: bool = False
    excluded_labels: tuple[str, ...] = ()
    excluded_annotations: tuple[str, ...] = ()
