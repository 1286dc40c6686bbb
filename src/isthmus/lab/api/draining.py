"""How a definition ends: after the objects that it defines."""

from isthmus.lab.api import crd, deletion
from isthmus.lab.api.bodies import with_metadata
from isthmus.lab.api.contracts import Object, ResourceInfo
from isthmus.lab.api.store import Store


def drain(store: Store, info: ResourceInfo | None, marked: Object) -> Object:
    """The definition after all its objects are told to end; those with finalizers keep it alive until they are gone."""
    if info is None:
        return marked
    left = False
    for obj in store.list(info.group, info.resource):
        ending = deletion.mark(info, obj, deletion.Request())
        if deletion.is_over(info, ending):
            store.remove(info.group, info.resource, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        else:
            left = True
            if ending != obj:
                store.update(info.group, info.resource, ending)
    if not left:
        return marked
    finalizers = list(dict.fromkeys([*(marked["metadata"].get("finalizers") or []), deletion.CUSTOM_CLEANUP]))
    return with_metadata(marked, finalizers=finalizers)


def end_if_drained(store: Store, definitions: crd.Definitions, info: ResourceInfo) -> None:
    """Have the definition of a kind end, if it waited only for the last of its objects."""
    name = f"{info.resource}.{info.group}"
    definition = store.get(*crd.CRD, None, name)
    if definition is None or store.list(info.group, info.resource):
        return
    finalizers = definition["metadata"].get("finalizers") or []
    if deletion.CUSTOM_CLEANUP not in finalizers:
        return
    left = [finalizer for finalizer in finalizers if finalizer != deletion.CUSTOM_CLEANUP]
    if left:
        store.update(*crd.CRD, with_metadata(definition, finalizers=left))
    else:
        definitions.end(store.remove(*crd.CRD, None, name))
