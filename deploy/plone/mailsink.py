#!/usr/bin/env python3
"""A mail server that keeps every message as a file, and refuses when told to.

    mailsink.py --port 8025 --folder mail [--control control] [--reject 550]

Messages become `0001.eml`, `0002.eml`, ... in the folder. A file appears whole or not at all, so a test may
read it as soon as it sees the name. With `--control FILE`, the file is read before each message: empty or
absent means accept, `reject 550` refuses with that code. So a running sink can be changed by a test.
"""

import argparse
import asyncio
import re
import signal
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP

LARGEST = 16 * 1024 * 1024  # bytes; a CMS's mails are a few KiB


class Folder:
    """Numbered messages in a folder; numbering goes on where an earlier run stopped."""

    def __init__(self, path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.last = max((int(file.stem) for file in path.glob("*.eml") if file.stem.isdigit()), default=0)

    def keep(self, content):
        self.last += 1
        name = f"{self.last:04}"
        unfinished = self.path / f".{name}.part"
        unfinished.write_bytes(content)
        unfinished.rename(self.path / f"{name}.eml")
        return name


class Refusal:
    """The SMTP answer to refuse with, or None; the control file has the last word over --reject."""

    def __init__(self, control, reject):
        self.control = control
        self.reject = reject

    def current(self):
        code = self.reject
        if self.control:
            try:
                said = self.control.read_text().strip()
            except FileNotFoundError:
                said = None
            if said is not None:
                match = re.fullmatch(r"reject ([45]\d\d)", said)
                if said and not match:
                    return "451 mailsink: control file not understood"
                code = match[1] if match else None
        return f"{code} refused by mailsink" if code else None


class Handler:
    def __init__(self, folder, refusal):
        self.folder = folder
        self.refusal = refusal

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = self.refusal.current()
        if refusal:
            print(f"refused mail to {address}: {refusal}", flush=True)
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = self.folder.keep(envelope.original_content)
        print(f"kept {name}.eml for {', '.join(envelope.rcpt_tos)}", flush=True)
        return f"250 kept as {name}"


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8025, help="on 127.0.0.1 (default 8025)")
    parser.add_argument("--folder", type=Path, required=True, help="where messages are kept")
    parser.add_argument("--control", type=Path, help="file with `reject CODE`, read before each message")
    parser.add_argument("--reject", metavar="CODE", help="refuse everything with this code")
    return parser.parse_args()


async def serve(opts):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    handler = Handler(Folder(opts.folder), Refusal(opts.control, opts.reject))

    def session():
        return SMTP(handler, data_size_limit=LARGEST, ident="mailsink", hostname="mailsink")

    server = await loop.create_server(session, "127.0.0.1", opts.port)
    print(f"mail to 127.0.0.1:{opts.port} lands in {opts.folder}", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    opts = options()
    try:
        asyncio.run(serve(opts))
    except OSError as error:
        sys.exit(f"mailsink: cannot listen on 127.0.0.1:{opts.port} or use {opts.folder}: {error.strerror or error}")
