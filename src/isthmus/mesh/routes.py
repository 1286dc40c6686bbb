"""An HTTPRoute attached to a Service: what it asks for, and whether all of it can be done. If not, nothing is."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from isthmus import names
from isthmus.mesh.splits import Sharing, Wanted, with_primary
from isthmus.resources.core import Service
from isthmus.resources.failover import primary, unreadable
from isthmus.resources.keys import Key
from isthmus.resources.routes import BackendRef, HTTPRoute, ParentRef, Rule


class Problem(NamedTuple):
    """Why a route is not used; `reason` is a word of the Gateway API, `about` the condition that it belongs to."""

    about: str
    reason: str
    message: str


class Known(NamedTuple):
    """What has to be known of a Service that a route names."""

    ports: frozenset[int]
    headless: bool


ACCEPTED, RESOLVED = "Accepted", "ResolvedRefs"


def problems(route: HTTPRoute) -> list[Problem]:
    """Why this route cannot be used, whichever Service it is attached to."""
    rules = route.spec.rules or ()
    found = [Problem(ACCEPTED, "UnsupportedValue", words) for words in _unsupported(route, rules)]
    return found + [problem for rule in rules for ref in rule.backend_refs or () if (problem := _ref(route, ref))]


def parent_problem(route: HTTPRoute, parent: ParentRef, service: Known | None) -> Problem | None:
    """Why it cannot be attached to this Service."""
    if parent.namespace not in (None, "", route.metadata.namespace):
        words = "a Service of another namespace cannot be its parent: put the route beside the Service"
        return Problem(ACCEPTED, "UnsupportedValue", words)
    if parent.section_name:
        return Problem(ACCEPTED, "UnsupportedValue", "parentRefs.sectionName is not supported: use port")
    if service is None:
        return Problem(ACCEPTED, "NoMatchingParent", f"there is no Service {parent.name} in its namespace")
    if parent.port is not None and parent.port not in service.ports:
        return Problem(ACCEPTED, "NoMatchingParent", f"Service {parent.name} has no port {parent.port}")
    if service.headless:
        return Problem(ACCEPTED, "UnsupportedValue", f"Service {parent.name} is headless: its pods are called directly")
    return None


def attached(route: HTTPRoute, service: Service, port: int) -> bool:
    """Whether the route is for a port of a Service, and all of it can be done."""
    known = Known(frozenset(each.port for each in service.ports), not service.addresses)
    here = any(
        parent.name == service.metadata.name
        and parent.port in (None, port)
        and parent_problem(route, parent, known) is None
        for parent in route.services
    )
    return here and not problems(route)


def parents(route: HTTPRoute) -> Iterator[Key]:
    """The Services of its own namespace that it names."""
    namespace = route.metadata.namespace
    for parent in route.services:
        if parent.namespace in (None, "", namespace):
            yield namespace, parent.name


def sharing(route: HTTPRoute, service: Service) -> Sharing:
    """How the traffic of a Service is shared. Without backends the Service answers itself; weight 0 is no traffic."""
    annotations = route.metadata.annotations
    refs = [ref for rule in route.spec.rules or () for ref in rule.backend_refs or ()]
    if not refs:
        return Sharing((Wanted(service.metadata.name, None, Fraction(1)),), annotations)
    wanted = [Wanted(ref.name, ref.port, Fraction(1 if ref.weight is None else ref.weight)) for ref in refs]
    if first := primary(annotations):
        return Sharing(with_primary(wanted, first), annotations)
    return Sharing(tuple(each for each in wanted if each.weight), annotations)


def _unsupported(route: HTTPRoute, rules: tuple[Rule, ...]) -> Iterator[str]:
    if len(rules) > 1:
        yield f"it has {len(rules)} rules; one is supported, for all requests"
    if route.spec.hostnames:
        yield "hostnames are not supported for Services"
    for rule in rules:
        yield from _of_rule(rule)
    annotations = route.metadata.annotations
    first = primary(annotations)
    if first and all(ref.name != first for rule in rules for ref in rule.backend_refs or ()):
        yield f"{names.PRIMARY_ANNOTATION} names {first}, which is none of its backends"
    if words := unreadable(annotations):
        yield words


def _of_rule(rule: Rule) -> Iterator[str]:
    if not all(match.everything for match in rule.matches or ()):
        yield "matches are not supported: only a rule for all requests is"
    refs = rule.backend_refs or ()
    given = {
        "filters": rule.filters or any(ref.filters for ref in refs),
        "timeouts": rule.timeouts,
        "retry": rule.retry,
        "sessionPersistence": rule.session_persistence,
    }
    yield from (f"{field} in a rule: not supported" for field, value in given.items() if value)
    if any(ref.weight is not None and ref.weight < 0 for ref in refs):
        yield "a weight is negative"


def _ref(route: HTTPRoute, ref: BackendRef) -> Problem | None:
    if not ref.is_service:
        return Problem(RESOLVED, "InvalidKind", f"backend {ref.name} is a {ref.kind}; only Services are supported")
    if ref.namespace not in (None, "", route.metadata.namespace):
        words = f"backend {ref.name} is in namespace {ref.namespace}; only its own namespace is supported"
        return Problem(RESOLVED, "RefNotPermitted", words)
    return None
