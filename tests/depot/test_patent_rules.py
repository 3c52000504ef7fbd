"""The patent's rules for TCP packets, one test each; each docstring quotes the sentence that it shows."""

from __future__ import annotations

import pytest

from tests.bearers import of_atm, over_each_bearer
from tests.depot.playbook import Playbook
from tests.ip_packets import ping
from tests.network_in_memory import CLIENT4, VIP4, make_network

pytestmark = over_each_bearer


def test_syn_with_no_match_creates_an_entry() -> None:
    """The patent's words.

    "If no match is found (i.e., arrival of a new session), a new entry is created in the primary table and based
    on the load balancing criterion, a server is allocated for the session."
    """
    play = Playbook()
    allocated = []
    for play.port in range(4000, 4006):
        assert play.table == "none"
        allocated.append(play.client >> "S seq=100")
        assert play.table == "primary"
    assert allocated == ["web1", "web2"] * 3


def test_syn_is_matched_with_the_primary_table() -> None:
    """The patent's words.

    "If a match is found (i.e., duplicate SYN), the packet is forwarded to an already allocated server."
    """
    play = Playbook()
    assert [play.client >> "S seq=100" for _ in range(4)] == ["web1"] * 4
    assert play.net.depot.sessions.opened == 1


def test_syn_is_matched_with_the_secondary_table_after_the_primary() -> None:
    """The patent's words.

    "A SYN packet header (client IP address and port) is matched with the entries in the primary table and then
    with the secondary table."
    """
    play = Playbook()
    server = play.open()
    play.close()
    assert play.client >> "S seq=100" == server
    assert play.table == "secondary"
    assert play.net.depot.sessions.opened == 1


@pytest.mark.parametrize("flags", ["FA", "F", "PA", "P", "UA", "U", "FPUA"])
def test_fin_psh_urg_are_forwarded_from_either_table(flags: str) -> None:
    """The patent's words.

    "The match is found from the primary or secondary table and forwarded to the appropriate server."
    """
    play = Playbook()
    server = play.open()
    assert play.client >> f"{flags} seq=101 ack=301 len=10" == server
    play = Playbook()
    server = play.open()
    play.close()
    assert play.client >> f"{flags} seq=101 ack=301 len=10" == server


@pytest.mark.parametrize("flags", ["FA", "F", "PA", "P", "UA", "U", "A", "R", "RA", "SA", "-", "SF", "SFRPUAEC"])
def test_packet_without_an_entry_is_dropped(flags: str) -> None:
    """The patent's words.

    "If an entry in the tables (primary and secondary) is not found on arrival of a packet other than SYN, the
    packet is dropped. This is necessary since the depot does not know the destination for the packet."
    """
    play = Playbook()
    assert play.client >> f"{flags} seq=101 ack=301" == "no-session"
    play.server >> f"{flags} seq=101 ack=301"  # soon after a start, some bearers may adopt the session
    play.wait("45min")
    assert play.client >> f"{flags} seq=101 ack=301" == "no-session"
    assert play.server >> f"{flags} seq=101 ack=301" == "no-session"
    assert play.table == "none"


def test_ack_is_forwarded_if_an_entry_is_found() -> None:
    """The patent's words.

    "All ACK packets are forwarded to the server if an entry is found in the table."
    """
    play = Playbook()
    server = play.open()
    for ack in (301, 0, 4_000_000_000):
        assert play.client >> f"A seq=101 ack={ack}" == server
    play.client >> "A seq=101 ack=301"
    play.close()
    assert play.client >> "A seq=102 ack=302" == server


def test_ack_that_brings_time_wait_moves_the_entry() -> None:
    """The patent's words.

    "If the ACK packet causes the state transition to the TIME_WAIT state, the entry is moved from the primary
    table to the secondary table for a 2 MSL time-out."
    """
    play = Playbook()
    server = play.open()
    assert play.client >> "FA seq=101 ack=301" == server
    assert play.server >> "FA seq=301 ack=102" == "client"
    assert (play.states, play.table) == (("TIME-WAIT", "LAST-ACK"), "primary")
    assert play.client >> "A seq=102 ack=302" == server
    assert (play.states, play.table) == (("TIME-WAIT", "CLOSED"), "secondary")
    play.wait("119s")
    assert play.table == "secondary"
    play.wait("2s")
    assert play.table == "none"
    assert play.client >> "A seq=102 ack=302" == "no-session"


def test_2_msl_is_a_setting() -> None:
    """The patent's words.

    "The duration of a 2 MSL differs for different implementations but, in this embodiment, a period of 2 minutes
    is chosen as an example."
    """
    play = Playbook(make_network(tables='[sessions]\ntwo_msl = "10s"'))
    play.open()
    play.close()
    play.wait("9s")
    assert play.table == "secondary"
    play.wait("2s")
    assert play.table == "none"


def test_reset_is_validated_by_its_sequence_number() -> None:
    """The patent's words.

    "All reset packets are validated by checking if the sequence number is in the window. (...) If the RST is
    valid, the entry from the primary table is moved to the secondary table."
    """
    play = Playbook()
    server = play.open()
    assert play.client >> "R seq=70000" == server
    assert play.table == "primary"
    assert play.client >> "R seq=101" == server
    assert (play.states, play.table) == (("CLOSED", "CLOSED"), "secondary")


@pytest.mark.parametrize(("ack", "table"), [(101, "secondary"), (100, "primary"), (102, "primary"), (0, "primary")])
def test_reset_in_syn_sent_is_valid_if_it_acknowledges_the_syn(ack: int, table: str) -> None:
    """The patent's words.

    "If the state is SYN-SENT, the RST is considered valid if the ACK field acknowledges the SYN."
    """
    play = Playbook()
    play.client >> "S seq=100"
    assert play.server >> f"RA seq=0 ack={ack}" == "client"
    assert play.table == table


def test_reset_in_syn_sent_without_an_ack_is_not_valid() -> None:
    """The same sentence: a bare RST acknowledges nothing."""
    play = Playbook()
    play.client >> "S seq=100"
    assert play.server >> "R seq=0 ack=101" == "client"
    assert play.table == "primary"


def test_idle_entry_is_moved() -> None:
    """The patent's words.

    "If an entry in the primary table is inactive for a long time (e.g., more than 20 mins.), the entry is moved to
    the secondary table."
    """
    play = Playbook()
    server = play.open()
    play.wait("19min")
    assert play.client >> "A seq=101 ack=301" == server
    play.wait("1199s")
    assert play.table == "primary"
    play.wait("2s")
    assert play.table == "secondary"
    play.wait("122s")
    assert play.table == "none"


def test_every_packet_of_a_known_session_is_forwarded_whatever_its_states() -> None:
    """The patent's words.

    "The depot forwards every packet, irrespective of the states guessed at the depot, as long as a table entry is
    found."
    """
    flags = ["A", "PA", "FA", "SA", "S", "RA", "R", "-", "SF", "SFRPUAEC", "U"]
    for steps in range(4):
        play = Playbook()
        server = play.client >> "S seq=100"
        for step in (lambda p=play: p.server >> "SA seq=300 ack=101", lambda p=play: p.client >> "A seq=101 ack=301",
                     lambda p=play: p.close())[:steps]:
            step()
        for flag in flags:
            for number in (0, 101, 2**31, 2**32 - 1):
                if flag == "S" and number != 100 and play.table == "secondary":
                    continue  # a new session's: port reuse
                assert play.client >> f"{flag} seq={number} ack={number}" == server
                assert play.server >> f"{flag} seq={number} ack={number}" == "client"


def test_retransmitted_reset_is_forwarded() -> None:
    """The patent's words.

    "For example, a RST may be lost in the network between the depot and client but the entry is still maintained
    in the secondary table, which enables the forwarding of any retransmitted RST."
    """
    play = Playbook()
    play.open()
    assert play.server >> "R seq=301" == "client"
    assert play.table == "secondary"
    assert [play.server >> "R seq=301" for _ in range(3)] == ["client"] * 3


def test_all_packets_of_a_session_go_to_the_same_server() -> None:
    """The patent's words.

    "All TCP packets of a given TCP session are served by the same server."
    """
    play = Playbook()
    servers = {}
    for play.port in range(4000, 4010):
        servers[play.port] = play.open()
    for play.port, server in servers.items():
        assert [play.client >> f"A seq={101 + n} ack=301 len=1" for n in range(5)] == [server] * 5


def test_depot_generates_no_tcp_packet() -> None:
    """The patent's words.

    "The depot does not generate any TCP packets." Whatever comes in, no other packet comes out; also in time.
    """
    play = Playbook()
    play.open()
    play.close()
    play.wait("30min")
    assert play.net.settle() == {}
    assert play.client >> "A seq=1 ack=1" == "no-session"


@of_atm
def test_packets_of_a_session_are_all_sent_over_the_same_vc() -> None:
    """The patent's words.

    "Packets are kept contiguous and are all sent over the same VC."
    """
    play = Playbook()
    play.open()
    vc = play.vc
    for n in range(5):
        play.client >> f"A seq={101 + 1000 * n} ack=301 len=1000"
        play.server >> f"A seq={301 + 1000 * n} ack={1101 + 1000 * n} len=1000"
    headers = {(cells[at] << 8 | cells[at + 1], cells[at + 2], cells[at + 3] & 0xF0)
               for _, _, cells in play.net.seen for at in range(0, len(cells), 53)}
    word = vc[0] << 20 | vc[1] << 4
    assert headers == {(word >> 16, word >> 8 & 0xFF, word & 0xF0)}


def test_server_is_preloaded() -> None:
    """The patent's words.

    "This block is preloaded with the next server to be allocated." The choice is made before the packet comes.
    """
    play = Playbook()
    pool = play.net.depot.management.pools["web"]
    assert play.client >> "S seq=1" == "web1"
    chosen = [pool._next.name]
    for play.port in range(4001, 4005):
        assert play.client >> "S seq=1" == chosen[-1]
        chosen.append(pool._next.name)
    assert chosen == ["web2", "web1", "web2", "web1", "web2"]


def test_ping_of_the_vip_is_answered_over_the_atm_path() -> None:
    """Packets other than TCP take the default VC of one server, and its answer comes back."""
    play = Playbook()
    request = ping(CLIENT4, VIP4, b"hello")
    (edge, packets), = play.net.to_service(request).items()
    assert packets == [request]
    reply = ping(VIP4, CLIENT4, b"hello", reply=True)
    assert play.net.from_server(edge, reply) == {"depot": [reply]}
