"""Take datagrams in on a plain UDP socket until standard input ends, then print them: `plain_socket.py HOST PORT`."""

from __future__ import annotations

import json
import select
import socket
import sys


def main() -> None:
    host, port = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind((host, int(port)))
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        got: list[str] = []
        while True:
            ready, _, _ = select.select([plain, sys.stdin], [], [])
            if plain in ready:
                got.append(plain.recv(65_536).hex())
            elif sys.stdin in ready:
                break
    sys.stdout.write(json.dumps(got))


if __name__ == "__main__":
    main()
