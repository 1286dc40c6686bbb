"""Attaching to a container: what its user is told when the program ends."""

import asyncio

from isthmus.lab.node.output import Attachment


async def test_attaching_went_well_however_the_program_ended() -> None:
    program = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    attachment = Attachment(program, stdin=False, leave=lambda _: None)  # type: ignore[arg-type]
    assert await asyncio.wait_for(attachment.wait(), 5) == 0
    assert program.returncode == 3
