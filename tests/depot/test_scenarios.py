"""Exchanges that a session tracker must survive, packet by packet (numbers as in the project's list of scenarios)."""

from __future__ import annotations

import pytest

from atmdepot.depot.servers import Outcome
from tests.bearers import of_atm, over_each_bearer
from tests.depot.playbook import Playbook
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, VIP4, make_network

pytestmark = over_each_bearer

ESTABLISHED = ("ESTABLISHED", "ESTABLISHED")


# 1. RST in and out of the window.


def three_segments() -> Playbook:
    play = Playbook()
    play.open(client_isn=500, server_isn=0)
    for n in range(3):
        assert play.server >> f"A seq={1 + 1000 * n} ack=501 len=1000" == "client"
        assert play.client >> f"A seq=501 ack={1001 + 1000 * n}" == play.at
    return play


@pytest.mark.parametrize("rst", ["R seq=0", "R seq=1000000", "R seq=42", "RA seq=3000 ack=501"])
def test_reset_outside_the_window_changes_nothing(rst: str) -> None:
    play = three_segments()
    assert play.server >> rst == "client"
    assert (play.states, play.table) == (ESTABLISHED, "primary")
    play.wait("15min")
    assert play.table == "primary", "it shortened the entry's life"
    assert play.server >> "A seq=3001 ack=501 len=1000" == "client"
    assert play.client >> "A seq=501 ack=4001" == play.at


def test_reset_at_the_expected_number_closes() -> None:
    play = three_segments()
    assert play.server >> "RA seq=3001 ack=501" == "client"
    assert (play.states, play.table) == (("CLOSED", "CLOSED"), "secondary")


def test_reset_elsewhere_in_the_window_only_shortens_the_life_and_traffic_restores_it() -> None:
    """RFC 5961: such an RST gets a challenge ACK."""
    play = three_segments()
    assert play.server >> "R seq=3500" == "client"
    assert play.table == "primary"
    assert play.client >> "A seq=501 ack=3001" == play.at
    play.wait("19min")
    assert (play.states, play.table) == (ESTABLISHED, "primary")


def test_reset_elsewhere_in_the_window_with_silence_after_it_ends_the_entry_in_ten_seconds() -> None:
    play = three_segments()
    play.server >> "R seq=3500"
    play.wait("9s")
    assert play.table == "primary"
    play.wait("2s")
    assert play.table == "secondary"


def test_window_is_scaled_when_both_ends_said_so() -> None:
    play = Playbook()
    play.open(scale=7)
    assert play.client >> "A seq=101 ack=301 win=1000" == play.at  # 128,000 octets
    play.server >> "R seq=100301"
    play.wait("11s")
    assert play.table == "secondary"
    unscaled = Playbook()
    unscaled.open()
    unscaled.client >> "A seq=101 ack=301 win=1000"
    unscaled.server >> "R seq=100301"
    unscaled.wait("11s")
    assert unscaled.table == "primary"


def test_reset_at_the_end_of_the_last_packet_closes_though_its_ack_was_missed() -> None:
    """A middlebox may have missed the last ACK."""
    play = three_segments()
    play.server >> "A seq=3001 ack=501 len=1000"
    assert play.server >> "R seq=4001" == "client"
    assert play.table == "secondary"


# 2. Two RSTs after a close with unread data.


def test_two_resets_after_a_close_with_unread_data() -> None:
    play = three_segments()
    assert play.server >> "FA seq=3001 ack=501" == "client"
    assert play.client >> "A seq=501 ack=3002" == play.at
    assert play.client >> "RA seq=501 ack=3002" == play.at
    assert play.table == "secondary"
    assert play.server >> "R seq=1001" == "client"
    assert play.server >> "R seq=0" == "client"
    assert play.table == "secondary"


# 3. Challenge ACK to a SYN.


def test_challenge_ack_to_a_syn_and_the_reset_after_it_keep_the_half_open_entry() -> None:
    play = Playbook()
    server = play.client >> "S seq=100"
    assert play.server >> "A seq=7777 ack=5555" == "client"
    assert play.client >> "R seq=5555" == server
    assert (play.states, play.table) == (("SYN-SENT", "SYN-RECEIVED"), "primary")
    assert play.client >> "S seq=100" == server
    assert play.server >> "SA seq=300 ack=101" == "client"
    assert play.client >> "A seq=101 ack=301" == server
    assert (play.states, play.table) == (ESTABLISHED, "primary")
    assert play.net.depot.sessions.opened == 1


# 4. An old SYN-ACK.


def test_old_syn_ack_leaves_syn_sent_and_a_right_one_with_a_lower_number_is_accepted() -> None:
    play = Playbook()
    server = play.client >> "S seq=100"
    assert play.server >> "SA seq=9000 ack=55" == "client"
    assert play.states == ("SYN-SENT", "SYN-RECEIVED")
    assert play.client >> "R seq=55" == server
    assert (play.states, play.table) == (("SYN-SENT", "SYN-RECEIVED"), "primary")
    assert play.server >> "SA seq=300 ack=101" == "client"
    assert play.client >> "A seq=101 ack=301" == server
    assert play.states == ESTABLISHED
    assert play.server >> "R seq=301" == "client"
    assert play.table == "secondary"


# 5. A lost ACK.


def test_segment_sent_again_after_a_lost_ack_passes_and_so_does_the_duplicate_ack() -> None:
    play = Playbook()
    play.open(server_isn=0)
    for n in range(46):
        assert play.server >> f"A seq={1 + 1000 * n} ack=101 len=1000" == "client"
    assert play.client >> "A seq=101 ack=46001" == play.at
    assert play.server >> "A seq=1 ack=101 len=1000" == "client"
    assert play.client >> "A seq=101 ack=46001" == play.at
    assert (play.states, play.table) == (ESTABLISHED, "primary")


# 6. A SYN for ever.


def test_syn_for_ever_does_not_renew_its_entry() -> None:
    play = Playbook()
    server = play.client >> "S seq=100"
    for _ in range(74):
        play.wait("1s")
        assert play.client >> "S seq=100" == server
        assert play.table == "primary"
    for _ in range(2):
        play.wait("1s")
        assert play.client >> "S seq=100" == server
    assert play.table == "secondary"
    for _ in range(122):
        play.wait("1s")
        play.client >> "S seq=100"
    assert play.net.depot.sessions.opened == 2, "after 2 MSL more the SYN opens a session anew"


def test_handshake_that_ends_late_brings_the_entry_back() -> None:
    """Linux retries a SYN for 127 s: a server that answers then has a session like any other."""
    play = Playbook()
    server = play.client >> "S seq=100"
    play.wait("100s")
    assert play.table == "secondary"
    assert play.client >> "S seq=100" == server
    assert play.table == "secondary"
    assert play.server >> "SA seq=300 ack=101" == "client"
    assert play.client >> "A seq=101 ack=301" == server
    assert (play.states, play.table) == (ESTABLISHED, "primary")
    play.wait("19min")
    assert play.table == "primary"


# 7. Closing.


def test_client_closes_first() -> None:
    play = Playbook()
    server = play.open()
    assert play.client >> "FA seq=101 ack=301" == server
    assert play.states == ("FIN-WAIT-1", "CLOSE-WAIT")
    assert play.server >> "A seq=301 ack=102" == "client"
    assert play.states == ("FIN-WAIT-2", "CLOSE-WAIT")
    assert play.server >> "FA seq=301 ack=102" == "client"
    assert play.states == ("TIME-WAIT", "LAST-ACK")
    assert play.client >> "A seq=102 ack=302" == server
    assert (play.states, play.table) == (("TIME-WAIT", "CLOSED"), "secondary")


def test_server_closes_first() -> None:
    play = Playbook()
    server = play.open()
    assert play.server >> "FA seq=301 ack=101" == "client"
    assert play.states == ("CLOSE-WAIT", "FIN-WAIT-1")
    assert play.client >> "FA seq=101 ack=302" == server
    assert play.states == ("LAST-ACK", "TIME-WAIT")
    assert play.server >> "A seq=302 ack=102" == "client"
    assert (play.states, play.table) == (("CLOSED", "TIME-WAIT"), "secondary")


def test_both_close_at_once() -> None:
    play = Playbook()
    server = play.open()
    assert play.client >> "FA seq=101 ack=301" == server
    assert play.server >> "FA seq=301 ack=101" == "client"
    assert play.table == "primary"
    assert play.client >> "A seq=102 ack=302" == server
    assert play.table == "primary"
    play.wait("5min")
    assert play.server >> "A seq=302 ack=102" == "client"
    assert play.table == "secondary"


def test_fin_with_data_is_acknowledged_only_with_its_data() -> None:
    play = Playbook()
    server = play.open()
    assert play.client >> "FPA seq=101 ack=301 len=500" == server
    assert play.server >> "A seq=301 ack=301" == "client"
    assert play.states == ("FIN-WAIT-1", "CLOSE-WAIT")
    assert play.server >> "FPA seq=301 ack=602 len=1000" == "client"
    assert play.states == ("TIME-WAIT", "LAST-ACK")
    assert play.client >> "A seq=602 ack=1301" == server
    assert play.table == "primary"
    assert play.client >> "A seq=602 ack=1302" == server
    assert play.table == "secondary"


def test_fin_that_comes_again_changes_nothing() -> None:
    """Before the close and after the move to the secondary table."""
    play = Playbook()
    server = play.open()
    for _ in range(3):
        assert play.client >> "FA seq=101 ack=301" == server
        assert play.states == ("FIN-WAIT-1", "CLOSE-WAIT")
    for _ in range(3):
        assert play.server >> "FA seq=301 ack=102" == "client"
        assert play.states == ("TIME-WAIT", "LAST-ACK")
    assert play.client >> "A seq=102 ack=302" == server
    play.wait("60s")
    assert play.server >> "FA seq=301 ack=102" == "client"
    assert play.client >> "A seq=102 ack=302" == server
    assert (play.states, play.table) == (("TIME-WAIT", "CLOSED"), "secondary")
    play.wait("61s")
    assert play.table == "none", "a late packet does not renew 2 MSL"


def test_half_closed_session_with_a_long_one_way_rest_stays() -> None:
    play = Playbook()
    server = play.open()
    play.client >> "FA seq=101 ack=301"
    for n in range(6):
        assert play.server >> f"A seq={301 + 1000 * n} ack=102 len=1000" == "client"
        assert play.client >> f"A seq=102 ack={1301 + 1000 * n}" == server
        play.wait("15min")
        assert (play.states, play.table) == (("FIN-WAIT-2", "CLOSE-WAIT"), "primary")
    play.server >> "FA seq=6301 ack=102"
    play.client >> "A seq=102 ack=6302"
    assert play.table == "secondary"


def test_close_at_the_end_of_the_number_space() -> None:
    """Sequence numbers are compared modulo 2^32."""
    play = Playbook()
    play.open(client_isn=2**32 - 2, server_isn=2**32 - 1)
    assert play.client >> f"FA seq={2**32 - 1} ack=0 len=5" == play.at
    assert play.server >> f"A seq=0 ack={2**32 - 1}" == "client"
    assert play.states == ("FIN-WAIT-1", "CLOSE-WAIT")
    assert play.server >> "FA seq=0 ack=5" == "client"
    assert play.client >> "A seq=5 ack=1" == play.at
    assert play.table == "secondary"


def test_last_ack_of_an_idle_session_closes_it() -> None:
    """It is brought back from the secondary table and goes there again at once, for 2 MSL from now."""
    play = Playbook()
    server = play.open()
    play.client >> "FA seq=101 ack=301"
    play.server >> "FA seq=301 ack=102"
    play.wait("1210s")
    assert play.table == "secondary"
    assert play.client >> "A seq=102 ack=302" == server
    assert (play.table, play.session().closed_by) == ("secondary", "FIN")
    play.wait("115s")
    assert play.table == "secondary"


def test_packet_of_an_idle_session_revives_it() -> None:
    """Keep-alives come every two hours, or two minutes after the entry went idle."""
    for end in ("client", "server"):
        play = Playbook()
        server = play.open()
        play.wait("1300s")
        assert play.table == "secondary"
        where = getattr(play, end) >> ("A seq=101 ack=301" if end == "client" else "A seq=301 ack=101")
        assert where == (server if end == "client" else "client")
        assert (play.states, play.table) == (ESTABLISHED, "primary")
        assert play.session().server.primary_sessions == 1
        play.wait("1150s")
        assert play.table == "primary"


def test_idle_time_below_the_handshakes_is_kept() -> None:
    """The entry's deadline moves to an earlier time when the handshake ends."""
    play = Playbook(make_network(tables='[sessions]\nidle = "5s"'))
    play.open()
    play.wait("7s")
    assert play.table == "secondary"


# 8. What no TCP sends.


@pytest.mark.parametrize("flags", ["SF", "SFA", "SFRPUAEC", "-", "FSU", "P", "U", "SFPU", "SA", "S"])
@pytest.mark.parametrize("number", [0, 50, 70_000, 2**31, 2**32 - 1])
def test_nonsense_closes_no_good_session(flags: str, number: int) -> None:
    play = Playbook()
    server = play.open()
    for _ in range(3):
        assert play.client >> f"{flags} seq={number} ack={number} len=4" == server
        assert play.server >> f"{flags} seq={number} ack={number} len=4" == "client"
    assert (play.states, play.table) == (ESTABLISHED, "primary")
    assert play.client >> "PA seq=101 ack=301 len=100" == server
    assert play.server >> "PA seq=301 ack=201 len=100" == "client"
    play.close(client_next=201, server_next=401)


def test_simultaneous_open() -> None:
    """RFC 9293 figure 8; a server does not do it, but nothing may break."""
    play = Playbook()
    server = play.client >> "S seq=100"
    assert play.server >> "S seq=300" == "client"
    assert play.client >> "SA seq=100 ack=301" == server
    assert play.server >> "SA seq=300 ack=101" == "client"
    assert play.client >> "A seq=101 ack=301 len=1" == server
    assert play.server >> "A seq=301 ack=102 len=1" == "client"
    assert (play.states, play.table) == (ESTABLISHED, "primary")


@pytest.mark.parametrize("kept", range(21, 44))
def test_cut_packet_of_a_session_is_counted_and_changes_nothing(kept: int) -> None:
    play = Playbook()
    play.open()
    whole = tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301, options=bytes((1, 1, 1, 0)))
    assert play.client.send(whole[:kept]) == "malformed"
    assert (play.states, play.table) == (ESTABLISHED, "primary")


@pytest.mark.parametrize("offset", [0, 1, 4, 7, 15])
def test_wrong_data_offset_is_malformed(offset: int) -> None:
    play = Playbook()
    play.open()
    octets = bytearray(tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301))
    octets[32] = offset << 4
    assert play.client.send(bytes(octets)) == "malformed"
    assert play.states == ESTABLISHED


# Ports that are used again.


@of_atm
def test_port_reuse_opens_at_once_perhaps_on_another_server() -> None:
    play = Playbook()
    assert play.open() == "web1"
    old = play.vc
    play.close()
    assert play.client >> "S seq=90000" == "web2"
    assert (play.states, play.table) == (("SYN-SENT", "SYN-RECEIVED"), "primary")
    assert play.vc != old
    play.at = "web2"
    assert play.server >> "SA seq=8 ack=90001" == "client"
    assert play.client >> "A seq=90001 ack=9" == "web2"
    assert play.states == ESTABLISHED


def test_late_duplicate_of_the_old_syn_goes_to_the_old_server() -> None:
    play = Playbook()
    assert play.open() == "web1"
    play.close()
    assert play.client >> "S seq=100" == "web1"
    assert play.table == "secondary"


@of_atm
def test_late_packet_of_the_old_server_does_not_meet_the_new_session() -> None:
    play = Playbook()
    play.open()
    play.close()
    assert play.client >> "S seq=90000" == "web2"
    assert play.at == "web1"
    assert play.server >> "FA seq=301 ack=102" == "unknown-vc", "the old session's VC is closed"
    play.net.restart_edge("web1")
    assert play.server >> "FA seq=301 ack=102" == "wrong-vp"
    assert play.states == ("SYN-SENT", "SYN-RECEIVED")


def test_port_reuse_at_full_speed_waits_for_nothing() -> None:
    """Scenario 10: for minutes, each SYN is forwarded at once, also when the table is full of closed sessions."""
    play = Playbook(make_network(tables="[sessions]\nmax_sessions = 1"))
    for n in range(300):
        play.at = play.client >> f"S seq={1000 * n}"
        assert play.at in ("web1", "web2")
        assert play.server >> f"SA seq=7 ack={1000 * n + 1}" == "client"
        play.client >> f"A seq={1000 * n + 1} ack=8"
        play.close(client_next=1000 * n + 1, server_next=8)
        play.wait("1s")
    assert play.net.depot.sessions.opened == 300
    play.port += 1
    assert play.client >> "S seq=1" in ("web1", "web2"), "a closed session makes way"
    assert play.net.depot.sessions.evicted_closed == 1


def test_syn_with_another_number_on_an_established_entry_changes_nothing_by_itself() -> None:
    """A blind attacker's, or a client's that crashed; the server answers it with a challenge ACK."""
    play = Playbook()
    server = play.open(scale=7)
    assert play.client >> "S seq=555000" == server
    assert (play.states, play.table) == (ESTABLISHED, "primary")
    assert play.client >> "R seq=555001" == server
    assert play.states == ESTABLISHED, "an RST at the SYN's number closed the session"
    assert play.client >> "A seq=101 ack=301" == server
    play.close()


def test_crashed_client_comes_back_on_its_port() -> None:
    """Its SYN gets a challenge ACK, its RST clears the old session, its next SYN opens a new one."""
    play = Playbook()
    server = play.open()
    assert play.client >> "S seq=555000" == server
    assert play.server >> "A seq=301 ack=101" == "client"
    assert play.client >> "R seq=101" == server
    assert play.table == "secondary"
    play.at = play.client >> "S seq=555000"
    assert play.at == "web2"
    assert play.table == "primary"
    assert play.server >> "SA seq=4000 ack=555001" == "client"
    assert play.client >> "A seq=555001 ack=4001" == "web2"
    assert (play.states, play.table) == (ESTABLISHED, "primary")


def test_server_that_accepts_a_second_syn_begins_the_session_again() -> None:
    """A server in TIME-WAIT, or one that has forgotten, while the depot still sees a live session."""
    play = Playbook()
    server = play.open()
    play.client >> "FA seq=101 ack=301"
    assert play.client >> "S seq=555000" == server
    assert play.states == ("FIN-WAIT-1", "CLOSE-WAIT")
    assert play.server >> "SA seq=4000 ack=1" == "client"
    assert play.states == ("FIN-WAIT-1", "CLOSE-WAIT")
    assert play.server >> "SA seq=4000 ack=555001" == "client"
    assert play.states == ("ESTABLISHED", "SYN-RECEIVED")
    assert play.client >> "A seq=555001 ack=4001" == server
    assert (play.states, play.table) == (ESTABLISHED, "primary")
    play.close(client_next=555001, server_next=4001)


def test_syn_with_data_is_answered_with_its_length() -> None:
    """TCP Fast Open (RFC 7413): the SYN+ACK may acknowledge the data, or only the SYN."""
    for acknowledged in (101, 601):
        play = Playbook()
        server = play.client >> "S seq=100 len=500"
        assert play.server >> f"SA seq=300 ack={acknowledged}" == "client"
        assert play.client >> f"A seq={acknowledged} ack=301" == server
        assert play.states == ESTABLISHED


@pytest.mark.parametrize("flags", ["SEC", "SE", "SC"])
def test_syn_with_ecn_opens_as_any_other(flags: str) -> None:
    play = Playbook()
    assert play.client >> f"{flags} seq=100" == "web1"
    assert play.server >> "SAE seq=300 ack=101" == "client"
    assert play.client >> "A seq=101 ack=301" == "web1"
    assert play.states == ESTABLISHED


# Floods.


@of_atm
def test_flood_of_syns_pushes_out_half_open_sessions_only() -> None:
    play = Playbook(make_network(tables="[sessions]\nmax_half_open = 50"))
    net, tables = play.net, play.net.depot.sessions
    established = range(4000, 4020)
    for play.port in established:
        play.open()
    for n in range(5000):
        net.to_service(tcp(f"10.7.{n >> 8}.{n & 255}", 1024, VIP4, 80, SYN, seq=n))
        net.now += 1_000_000
    assert len(tables.eviction.half_open) == 50
    assert len(tables.primary) == 70
    assert tables.secondary == {}
    assert tables.evicted == 4950
    assert sum(len(link.table) for link in net.depot.links.values()) == 74
    assert sum(len(bucket) for bucket in tables.wheel._slots.values()) == 70
    for play.port in established:
        assert play.states == ESTABLISHED
        play.at = play.session().server.name
        assert play.client >> "A seq=101 ack=301 len=9" == play.at
    assert sum(server.primary_sessions for server in net.depot.management.servers.values()) == 70


def test_flood_beyond_the_tables_bound_is_counted() -> None:
    play = Playbook(make_network(tables="[sessions]\nmax_sessions = 10\n[probing]\nno_ack = '0s'"))
    for play.port in range(1, 11):
        got = play.open()
    for play.port in range(11, 31):
        assert play.client >> "S seq=1" == "table-full"
    play.port = 10
    assert play.client >> "S seq=1" == got
    play.wait("30min")
    assert play.net.depot.sessions.primary == play.net.depot.sessions.secondary == {}
    play.port = 99
    assert play.client >> "S seq=1" in ("web1", "web2")


@pytest.mark.parametrize("established", [False, True])
def test_port_of_a_session_lost_with_its_server_may_be_used_at_once(established: bool) -> None:
    """The session is lost anyway; its SYN again still goes where it went, but another one gets a living server."""
    play = Playbook()
    if established:
        assert play.open() == "web1"
    else:
        assert play.client >> "S seq=100" == "web1"
    server = play.net.depot.management.servers["web1"]
    for _ in range(play.net.depot.probing.settings.fall):
        server.condition.probed(Outcome.REFUSED, play.net.depot.probing.settings, play.net.now)
    assert not server.alive
    assert play.client >> "S seq=100" == "web1"
    assert play.client >> "S seq=90000" == "web2"
    assert play.states == ("SYN-SENT", "SYN-RECEIVED")


@pytest.mark.parametrize("numbers", ["seq=9000000 ack=501", "seq=4000000000 ack=501", "seq=101 ack=99999"])
def test_numbers_that_were_only_guessed_move_nothing(numbers: str) -> None:
    """A FIN, or data that would make an RST exact, is forwarded; but only numbers in the window change a state."""
    play = Playbook()
    assert play.open() == "web1"
    assert play.client >> f"FA {numbers} len=10" == "web1"
    assert play.states == ESTABLISHED
    end = int(numbers.split()[0].partition("=")[2]) + 11
    assert play.client >> f"R seq={end}" == "web1"
    assert (play.states, play.table) == (ESTABLISHED, "primary")
