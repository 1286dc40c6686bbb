"""Whether the Prometheus that belongs to the installation answers, and whether it reads the proxies."""

from typing import Final

import aiohttp
import msgspec

from isthmus.viz.api import PrometheusState
from isthmus.viz.tables import plain

SECONDS: Final = 3.0
MOST_BYTES: Final = 1024 * 1024
QUERY: Final = 'count by (namespace) (up{job="linkerd-proxy"} == 1)'


class _Sample(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct, frozen=True):
    result: list[_Sample]


class _Answer(msgspec.Struct, frozen=True):
    data: _Data


async def state(url: str) -> PrometheusState:
    """Asks it; whatever goes wrong is a sentence in the state."""
    if not url:
        return PrometheusState()
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as http,
            http.get(f"{url.rstrip('/')}/api/v1/query", params={"query": QUERY}) as answer,
        ):
            body = await answer.content.read(MOST_BYTES)
        found = msgspec.json.decode(body, type=_Answer).data.result
        proxies = {each.metric.get("namespace", ""): int(float(each.value[1])) for each in found}
    except TimeoutError:
        return PrometheusState(url=url, problem=f"no answer within {SECONDS:.0f} s")
    except aiohttp.ClientResponseError as error:
        return PrometheusState(url=url, problem=f"it answered with {error.status}")
    except (aiohttp.ClientError, OSError) as error:
        return PrometheusState(url=url, problem=plain(str(error) or type(error).__name__))
    except ValueError:
        return PrometheusState(url=url, problem="its answer is not that of a Prometheus")
    return PrometheusState(url=url, proxies=proxies)
