"""Start of squid in the lab: `python -m atmdepot.lab.squid HOME`, which becomes squid.

Every squid of a machine would use the same shared memory, by names that cannot be chosen apart from the service's, and
squid does not run as root. So each gets a user namespace, in which it is nobody, with a /dev/shm of its own. Where the
kernel refuses that, as in a container, which has a /dev/shm of its own, squid becomes nobody by its configuration.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from atmdepot.lab.namespaces import leave_for_nobody
from atmdepot.paths import find_program

_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def main() -> None:
    """Become squid; a container without the right to make namespaces starts it as it is."""
    home = Path(sys.argv[1])
    squid = find_program("squid")
    if squid is None:
        sys.exit("squid is not installed: install squid")
    (home / "squid.pid").unlink(missing_ok=True)  # of a squid that was killed; its number may be another's by now
    with suppress(OSError):  # so that nobody may listen on the ports of a service, whatever they are
        _UNPRIVILEGED.write_text("0", encoding="ascii")
    try:
        leave_for_nobody()
    except OSError:  # then it reads its files as nobody of this machine
        home.parent.chmod(0o711)
        home.chmod(0o711)
    os.execv(squid, [squid, "-N", "-d1", "-f", str(home / "squid.conf")])


if __name__ == "__main__":
    main()
