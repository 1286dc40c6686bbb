"""What a proxy's metrics say, read by the parser that Prometheus' own client library has."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from tests.envoy.harness import DEADLINE, Pod

from isthmus.proxy import scrape


@dataclass(frozen=True)
class Samples:
    """One scrape."""

    text: str
    all: tuple[tuple[str, dict[str, str], float], ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels; one that is "" must be absent."""
        return sum(
            value
            for found, have, value in self.all
            if found == name and all(have.get(key, "") == wanted for key, wanted in labels.items())
        )

    def labels(self, name: str, **labels: str) -> dict[str, str]:
        """Those of the only series with these labels."""
        [found] = [
            have
            for each, have, _ in self.all
            if each == name and all(have.get(key, "") == wanted for key, wanted in labels.items())
        ]
        return found


def parse(text: str) -> Samples:
    """Raises ValueError where the text is not in the exposition format."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return Samples(text, tuple((each.name, each.labels, each.value) for each in samples))


async def scraped(pod: Pod) -> Samples:
    parts: list[bytes] = []
    port = int(pod.admin.rpartition(":")[2])
    domain = pod.identity.trust_domain
    await asyncio.to_thread(scrape.envoy, port, cluster_domain="cluster.local", trust_domain=domain, send=parts.append)
    return parse(b"".join(parts).decode())


async def shows(pod: Pod, condition: Callable[[Samples], bool]) -> Samples:
    """A scrape in which something holds: histograms are put together once in a while only."""
    samples = await scraped(pod)
    try:
        async with asyncio.timeout(DEADLINE):
            while not condition(samples):
                samples = await scraped(pod)
    except TimeoutError:
        raise AssertionError(f"never said by {pod.name}:\n{samples.text}") from None
    return samples
