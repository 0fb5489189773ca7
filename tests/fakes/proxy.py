"""A TCP proxy in the way of a connection, which a test can freeze, cut, or make drip."""

import asyncio
import contextlib


class Proxy:
    """Start it with `async with`; forwards to `target` (HOST:PORT)."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.frozen = False
        """Connections that are open stay open, and nothing more passes: half-open."""
        self.one_way = False
        """Only from the agent to the aggregator."""
        self.drip_seconds = 0.0
        """Wait after every piece."""
        self.piece_bytes = 1 << 16
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for task in (
            asyncio.create_task(self._pump(reader, far_writer, outward=True)),
            asyncio.create_task(self._pump(far_reader, writer, outward=False)),
        ):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool
    ) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while data := await reader.read(self.piece_bytes):
                if self.frozen or (self.one_way and not outward):
                    continue  # Taken and lost, as by a firewall that forgot the connection.
                if self.drip_seconds:
                    await asyncio.sleep(self.drip_seconds)
                writer.write(data)
                await writer.drain()
        writer.close()
