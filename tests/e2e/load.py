"""A load of HTTP/1.1 GETs over connections that are kept: standard library only, to be run inside a pod.

usage: load.py HOST PORT PATH CONNECTIONS REQUESTS SECONDS RATE [UNTIL]

Goes on until so many requests were answered and so much time has passed, at so many requests a second (0: as many as
possible); with UNTIL, until there is a file of that name, whatever the rest says. Prints `progress N` now and then, and
at the end one line of JSON: how many were answered, by which pods (also for each half second), how long it took, and
what failed.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter

LONGEST = 10.0
PROGRESS = 200
HALF_SECOND = 0.5


class Load:
    def __init__(self, host: str, port: int, path: str, until: str = "") -> None:
        self.until = until
        self.host, self.port = host, port
        self.request = f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode()
        self.pods: Counter[str] = Counter()
        self.timeline: list[Counter[str]] = []
        self.began = time.monotonic()
        self.failures: list[str] = []
        self.times: list[float] = []
        self.connections = 0

    async def run(self, connections: int, requests: int, seconds: float, rate: float) -> None:
        self.wanted, self.end = requests, time.monotonic() + seconds
        self.pause = connections / rate if rate else 0.0
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self.one_client())

    def going_on(self) -> bool:
        if self.until:
            return not os.path.exists(self.until)
        return len(self.times) < self.wanted or time.monotonic() < self.end

    async def one_client(self) -> None:
        due = 0.0
        while self.going_on():
            self.connections += 1
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                while self.going_on():
                    began = time.monotonic()
                    due = max(due + self.pause, began)
                    try:
                        async with asyncio.timeout(LONGEST):
                            self.count(await self.one_request(reader, writer))
                    finally:
                        self.times.append(time.monotonic() - began)
                    if len(self.times) % PROGRESS == 0:
                        print("progress", len(self.times), flush=True)
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            finally:
                writer.close()

    def count(self, pod: str) -> None:
        self.pods[pod] += 1
        now = int((time.monotonic() - self.began) / HALF_SECOND)
        self.timeline += [Counter() for _ in range(now + 1 - len(self.timeline))]
        self.timeline[now][pod] += 1

    async def one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """The name of the pod that answered."""
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        if " 200 " not in head.partition("\r\n")[0]:
            raise ValueError(f"{head.strip()} {body!r}")
        return str(json.loads(body)["pod"])

    def report(self) -> dict[str, object]:
        times = sorted(self.times)
        return {
            "requests": len(times),
            "failed": len(self.failures),
            "failures": self.failures[:5],
            "pods": dict(self.pods),
            "timeline": [dict(each) for each in self.timeline],
            "connections": self.connections,
            "p50_ms": round(1000 * times[len(times) // 2], 2),
            "p99_ms": round(1000 * times[len(times) * 99 // 100], 2),
            "slowest_ms": round(1000 * times[-1], 1),
        }


if __name__ == "__main__":
    host, port, path, connections, requests, seconds, rate, *until = sys.argv[1:]
    load = Load(host, int(port), path, *until)
    began = time.monotonic()
    asyncio.run(load.run(int(connections), int(requests), float(seconds), float(rate)))
    print(json.dumps({**load.report(), "seconds": round(time.monotonic() - began, 2)}), flush=True)
