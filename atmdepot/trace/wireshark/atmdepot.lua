-- atmdepot dissector for Wireshark and tshark: ATM cells in UDP datagrams, up to the IP packets in them.
--
-- A datagram holds whole cells of 53 octets: a single cell (as Dynamips and GNS3 send it) or a train of cells. Stock
-- Wireshark can show neither; this file shows each cell (ITU-T I.361, I.432.1), OAM (I.610), and reassembles AAL5
-- (I.363.5) for each direction and VC. Wireshark 3.6 to 4.4 has Lua 5.2 to 5.4: operators that 5.2 cannot parse are
-- not used.
--
-- The installer replaces a file whose first line begins like the first line here; keep it.

-- If the file is installed and also given with -X lua_script, the copy loaded first stays.
local asked, loaded = pcall(Dissector.get, "atmdepot")
if asked and loaded then return end

set_plugin_info({ version = "1.0", description = "ATM cells, AAL5 and OAM on UDP-emulated links" })

local CELL, HEADER, PAYLOAD, TRAILER = 53, 5, 48, 8
local COUNTER, TAG = 8, 24 -- behind the cells on a link with a key: counter, then keyed BLAKE2s of 16 octets
local MAX_CELLS = 1366 -- cells of an SDU of 65535 octets
local MAX_HEADERS = 65536 -- most headers in the cache; a capture may hold any number of different headers

local bxor, band, lshift, rshift, bnot = bit.bxor, bit.band, bit.lshift, bit.rshift, bit.bnot

local atm = Proto("atmdepot", "ATM cells over UDP")

---------------------------------------------------------------------------------------------------------------- fields

local PTI = {
    [0] = "user data", [1] = "user data, last cell of a PDU", [2] = "user data, congestion experienced",
    [3] = "user data, congestion experienced, last cell of a PDU", [4] = "OAM F5 segment", [5] = "OAM F5 end-to-end",
    [6] = "resource management", [7] = "reserved",
}
local OAM_TYPE = {
    [1] = "fault management", [2] = "performance management", [5] = "protection switching", [8] = "activation and deactivation",
    [15] = "system management",
}
-- Type and function together: the first octet of the payload.
local AIS, RDI, CONTINUITY_CHECK, LOOPBACK = 0x10, 0x11, 0x14, 0x18
local FORWARD, BACKWARD = 0x20, 0x21
local ACTIVATION = { [0x80] = true, [0x81] = true, [0x82] = true }
local REQUEST = {
    [1] = "activate", [2] = "activation confirmed", [3] = "activation denied",
    [5] = "deactivate", [6] = "deactivation confirmed", [7] = "deactivation denied",
}
local DIRECTION = { [1] = "B to A", [2] = "A to B", [3] = "both" }
local OAM_CELL = {
    [AIS] = "AIS", [RDI] = "RDI", [CONTINUITY_CHECK] = "continuity check", [LOOPBACK] = "loopback",
    [FORWARD] = "forward monitoring", [BACKWARD] = "backward reporting",
    [0x50] = "group protection switching (APS)", [0x51] = "individual protection switching (APS)",
    [0x80] = "performance monitoring activation", [0x81] = "continuity check activation",
    [0x82] = "forward monitoring activation",
}

-- The header is one 32-bit word: masks as in I.361. Fields may share a name: a filter need not tell UNI from NNI.
local f = {
    cells = ProtoField.uint32("atmdepot.cells", "Cells", base.DEC, nil, nil, "Cells in the datagram"),
    tag_counter = ProtoField.uint64("atmdepot.tag.counter", "Counter of the link's tag"),
    tag_digest = ProtoField.bytes("atmdepot.tag", "Tag of the link's key (BLAKE2s)"),
    cell = ProtoField.none("atmdepot.cell", "Cell"),
    gfc = ProtoField.uint32("atmdepot.cell.gfc", "GFC", base.DEC, nil, 0xF0000000, "Generic flow control"),
    vpi_uni = ProtoField.uint32("atmdepot.cell.vpi", "VPI", base.DEC, nil, 0x0FF00000, "Virtual path identifier"),
    vpi_nni = ProtoField.uint32("atmdepot.cell.vpi", "VPI", base.DEC, nil, 0xFFF00000, "Virtual path identifier"),
    vci = ProtoField.uint32("atmdepot.cell.vci", "VCI", base.DEC, nil, 0x000FFFF0, "Virtual channel identifier"),
    pti = ProtoField.uint32("atmdepot.cell.pti", "PTI", base.DEC, PTI, 0x0000000E, "Payload type identifier"),
    efci = ProtoField.bool("atmdepot.cell.efci", "EFCI", 32, nil, 0x00000004, "Explicit forward congestion indication"),
    clp = ProtoField.uint32("atmdepot.cell.clp", "CLP", base.DEC, nil, 0x00000001, "Cell loss priority"),
    hec = ProtoField.uint8("atmdepot.cell.hec", "HEC", base.HEX, nil, nil, "Header error control"),
    hec_status = ProtoField.string("atmdepot.cell.hec.status", "HEC status"),
    idle = ProtoField.bool("atmdepot.cell.idle", "Idle or unassigned cell"),
    place = ProtoField.uint32("atmdepot.cell.place", "Place in its PDU", base.DEC, nil, nil, "1 is the first cell"),
    reassembled_in = ProtoField.framenum("atmdepot.cell.reassembled_in", "PDU reassembled in frame"),
    payload = ProtoField.bytes("atmdepot.cell.payload", "Payload"),

    oam_flow = ProtoField.string("atmdepot.oam.flow", "Flow"),
    oam_type = ProtoField.uint8("atmdepot.oam.type", "OAM type", base.DEC, OAM_TYPE, 0xF0),
    oam_function = ProtoField.uint8("atmdepot.oam.function", "Function", base.DEC, nil, 0x0F),
    oam_cell = ProtoField.uint8("atmdepot.oam.cell", "OAM cell", base.HEX, OAM_CELL, nil, "Type and function"),
    defect_type = ProtoField.uint8("atmdepot.oam.defect_type", "Defect type", base.HEX),
    defect_location = ProtoField.bytes("atmdepot.oam.defect_location", "Defect location"),
    to_be_looped = ProtoField.bool("atmdepot.oam.loopback.indication", "Loopback indication", 8,
        { "1: to be looped back", "0: looped back" }, 0x01),
    tag = ProtoField.uint32("atmdepot.oam.loopback.tag", "Correlation tag", base.HEX),
    location = ProtoField.bytes("atmdepot.oam.loopback.location", "Loopback location"),
    source = ProtoField.bytes("atmdepot.oam.loopback.source", "Source"),
    pm_sequence = ProtoField.uint8("atmdepot.oam.pm.sequence", "Monitoring cell sequence number (MCSN)"),
    pm_cells = ProtoField.uint16("atmdepot.oam.pm.cells", "Total user cells, CLP 0+1 (TUC)"),
    pm_parity = ProtoField.uint16("atmdepot.oam.pm.bip16", "Block error detection code (BIP-16)", base.HEX),
    pm_cells_clp0 = ProtoField.uint16("atmdepot.oam.pm.cells_clp0", "Total user cells, CLP 0 (TUC)"),
    pm_time = ProtoField.uint32("atmdepot.oam.pm.time", "Time stamp", base.HEX),
    pm_reported = ProtoField.uint8("atmdepot.oam.pm.reported", "Reported sequence number (RMCSN)"),
    pm_bad_blocks = ProtoField.uint8("atmdepot.oam.pm.bad_blocks", "Severely errored cell blocks (SECBC)"),
    pm_received_clp0 = ProtoField.uint16("atmdepot.oam.pm.received_clp0", "Cells received, CLP 0 (TRCC)"),
    pm_errors = ProtoField.uint8("atmdepot.oam.pm.errors", "Block error result (BLER)"),
    pm_received = ProtoField.uint16("atmdepot.oam.pm.received", "Cells received, CLP 0+1 (TRCC)"),
    activation_message = ProtoField.uint8("atmdepot.oam.activation.message", "Message", base.DEC, REQUEST, 0xFC),
    activation_direction = ProtoField.uint8("atmdepot.oam.activation.direction", "Direction", base.DEC, DIRECTION, 0x03),
    activation_tag = ProtoField.uint8("atmdepot.oam.activation.tag", "Correlation tag", base.HEX),
    activation_block_a_b = ProtoField.uint8("atmdepot.oam.activation.block_a_b", "Block size A to B", base.DEC, nil, 0xF0),
    activation_block_b_a = ProtoField.uint8("atmdepot.oam.activation.block_b_a", "Block size B to A", base.DEC, nil, 0x0F),
    oam_specific = ProtoField.bytes("atmdepot.oam.specific", "Function specific"),
    crc10 = ProtoField.uint16("atmdepot.oam.crc", "CRC-10", base.HEX, nil, 0x03FF),
    crc10_status = ProtoField.string("atmdepot.oam.crc.status", "CRC-10 status"),

    pdu = ProtoField.none("atmdepot.aal5", "AAL5 CPCS-PDU"),
    pdu_status = ProtoField.string("atmdepot.aal5.status", "Status"),
    pdu_vpi = ProtoField.uint16("atmdepot.aal5.vpi", "VPI"),
    pdu_vci = ProtoField.uint16("atmdepot.aal5.vci", "VCI"),
    pdu_cells = ProtoField.uint32("atmdepot.aal5.cells", "Cells"),
    pdu_first = ProtoField.framenum("atmdepot.aal5.first_frame", "Begins in frame"),
    pad = ProtoField.uint16("atmdepot.aal5.pad", "Padding length"),
    uu = ProtoField.uint8("atmdepot.aal5.uu", "CPCS-UU", base.HEX, nil, nil, "User-to-user indication"),
    cpi = ProtoField.uint8("atmdepot.aal5.cpi", "CPI", base.HEX, nil, nil, "Common part indicator"),
    length = ProtoField.uint16("atmdepot.aal5.length", "Length", base.DEC, nil, nil, "Octets of the SDU"),
    crc = ProtoField.uint32("atmdepot.aal5.crc", "CRC-32", base.HEX),
    crc_status = ProtoField.string("atmdepot.aal5.crc.status", "CRC-32 status"),
}

-- The report that an atmdepot edge node sends each second: offset and size of each field. Later versions append fields.
local SERVER = { [0] = "unknown", [1] = "accepts connections", [2] = "refuses connections", [3] = "silent" }
local REPORT = {
    { ProtoField.uint8("atmdepot.statistics.version", "Version"), 4, 1 },
    { ProtoField.uint8("atmdepot.statistics.server", "Server", base.DEC, SERVER), 5, 1 },
    { ProtoField.uint16("atmdepot.statistics.cores", "Cores"), 6, 2 },
    { ProtoField.uint32("atmdepot.statistics.sequence", "Sequence number"), 8, 4 },
    { ProtoField.uint32("atmdepot.statistics.flows", "Flows"), 12, 4 },
    { ProtoField.uint64("atmdepot.statistics.packets_in", "Packets to the server"), 16, 8 },
    { ProtoField.uint64("atmdepot.statistics.packets_out", "Packets from the server"), 24, 8 },
    { ProtoField.uint64("atmdepot.statistics.octets_in", "Octets to the server"), 32, 8 },
    { ProtoField.uint64("atmdepot.statistics.octets_out", "Octets from the server"), 40, 8 },
    { ProtoField.uint32("atmdepot.statistics.load", "Load average in thousandths"), 48, 4 },
    { ProtoField.uint32("atmdepot.statistics.connect_time", "Connect time in microseconds"), 52, 4 },
    { ProtoField.uint64("atmdepot.statistics.time", "Clock in nanoseconds"), 56, 8 },
    { ProtoField.uint16("atmdepot.statistics.fillers_sent", "Full datagrams of idle cells sent"), 64, 2 },
    { ProtoField.uint16("atmdepot.statistics.idle_received", "Idle cells received"), 66, 2 },
}
-- Version 2 has these, and the name of the depot that the edge node follows.
local REPORT_2 = {
    { ProtoField.uint64("atmdepot.statistics.term", "Highest term"), 68, 8 },
    { ProtoField.uint8("atmdepot.statistics.follows_size", "Octets of the depot's name"), 76, 1 },
}
local report_follows = ProtoField.string("atmdepot.statistics.follows", "Depot that is followed")
-- Version 3 has these behind the name, of a caching proxy: the offsets are from the name's end.
local REPORT_3 = {
    { ProtoField.uint64("atmdepot.statistics.requests", "Requests of clients to the proxy"), 0, 8 },
    { ProtoField.uint64("atmdepot.statistics.hits", "Hits of the proxy"), 8, 8 },
    { ProtoField.uint64("atmdepot.statistics.fetches", "Requests of the proxy to origins"), 16, 8 },
    { ProtoField.uint64("atmdepot.statistics.fetched", "KB from origins"), 24, 8 },
    { ProtoField.uint32("atmdepot.statistics.unread", "Unreadable answers of the proxy"), 32, 4 },
}
local REPORT_SIZE, REPORT_2_SIZE, REPORT_3_MORE = 68, 77, 36
-- What depots and edge nodes tell each other: the fields behind the head, by type: offset and size of each.
local FLOWS = 4 -- 3 were flows with ages in seconds
local MESSAGE = { [1] = "announcement", [2] = "recall", [FLOWS] = "flows" }
local MESSAGE_HEAD = 8
local message_head = {
    { ProtoField.uint8("atmdepot.message.version", "Version"), 4, 1 },
    { ProtoField.uint8("atmdepot.message.type", "Type", base.DEC, MESSAGE), 5, 1 },
    { ProtoField.uint16("atmdepot.message.flags", "Flags", base.HEX), 6, 2 },
}
local message_body = {
    {
        { ProtoField.uint64("atmdepot.announcement.term", "Term"), 8, 8 },
        { ProtoField.uint32("atmdepot.announcement.period", "Period in milliseconds"), 16, 4 },
        { ProtoField.uint8("atmdepot.announcement.set_size", "Octets of the set's name"), 20, 1 },
        { ProtoField.uint8("atmdepot.announcement.node_size", "Octets of the depot's name"), 21, 1 },
    },
    {
        { ProtoField.uint32("atmdepot.recall.number", "Number"), 8, 4 },
        { ProtoField.uint32("atmdepot.recall.since", "Milliseconds in which a flow had a packet (0: all)"), 12, 4 },
    },
    [FLOWS] = {
        { ProtoField.uint32("atmdepot.flows.number", "Number of the recall"), 8, 4 },
        { ProtoField.uint32("atmdepot.flows.part", "Part"), 12, 4 },
        { ProtoField.uint16("atmdepot.flows.v4", "IPv4 flows"), 16, 2 },
        { ProtoField.uint16("atmdepot.flows.v6", "IPv6 flows"), 18, 2 },
    },
}
local BODY_SIZE = { 22, 16, [FLOWS] = 20 }
local FLOW4_SIZE, FLOW6_SIZE = 19, 43
local message = {
    set = ProtoField.string("atmdepot.announcement.set", "Set"),
    node = ProtoField.string("atmdepot.announcement.node", "Depot"),
    flow = ProtoField.none("atmdepot.flows.flow", "Flow"),
    client4 = ProtoField.ipv4("atmdepot.flows.client", "Client"),
    service4 = ProtoField.ipv4("atmdepot.flows.service", "Service"),
    client6 = ProtoField.ipv6("atmdepot.flows.client6", "Client"),
    service6 = ProtoField.ipv6("atmdepot.flows.service6", "Service"),
    protocol = ProtoField.uint8("atmdepot.flows.protocol", "Protocol"),
    client_port = ProtoField.uint16("atmdepot.flows.client_port", "Client's port"),
    service_port = ProtoField.uint16("atmdepot.flows.service_port", "Service's port"),
    vci = ProtoField.uint16("atmdepot.flows.vci", "VCI"),
    half_open = ProtoField.bool("atmdepot.flows.half_open", "Half-open: its client has sent nothing but SYNs", 32, nil,
        0x80000000),
    age = ProtoField.uint32("atmdepot.flows.age", "Milliseconds since its last packet", base.DEC, nil, 0x7FFFFFFF),
}
local report_appended = ProtoField.bytes("atmdepot.statistics.appended", "Appended by a later version")
local fields = {}
for _, field in pairs(f) do fields[#fields + 1] = field end
for _, row in ipairs(REPORT) do fields[#fields + 1] = row[1] end
for _, row in ipairs(REPORT_2) do fields[#fields + 1] = row[1] end
for _, row in ipairs(REPORT_3) do fields[#fields + 1] = row[1] end
fields[#fields + 1] = report_follows
fields[#fields + 1] = report_appended
for _, rows in ipairs({ message_head, message_body[1], message_body[2], message_body[FLOWS] }) do
    for _, row in ipairs(rows) do fields[#fields + 1] = row[1] end
end
for _, field in pairs(message) do fields[#fields + 1] = field end
atm.fields = fields

local GROUP, SEVERITY = expert.group, expert.severity
local e = {
    datagram = ProtoExpert.new("atmdepot.expert.datagram_length", "Not a whole number of cells of 53 octets",
        GROUP.MALFORMED, SEVERITY.ERROR),
    cut = ProtoExpert.new("atmdepot.expert.cut", "Cells that the capture did not keep", GROUP.UNDECODED, SEVERITY.WARN),
    corrected = ProtoExpert.new("atmdepot.expert.hec_corrected", "HEC: one wrong bit, corrected",
        GROUP.CHECKSUM, SEVERITY.WARN),
    hec = ProtoExpert.new("atmdepot.expert.hec_wrong", "HEC wrong: receivers discard the cell",
        GROUP.CHECKSUM, SEVERITY.ERROR),
    crc10 = ProtoExpert.new("atmdepot.expert.oam_crc_bad", "CRC-10 of the OAM cell is wrong",
        GROUP.CHECKSUM, SEVERITY.ERROR),
    crc = ProtoExpert.new("atmdepot.expert.crc_bad", "CRC-32 is wrong", GROUP.CHECKSUM, SEVERITY.ERROR),
    dynamips = ProtoExpert.new("atmdepot.expert.crc_dynamips",
        "CRC-32 is not AAL5's but Dynamips', which ends that check will not accept", GROUP.CHECKSUM, SEVERITY.NOTE),
    length = ProtoExpert.new("atmdepot.expert.length_error", "Length does not fit the number of cells",
        GROUP.PROTOCOL, SEVERITY.ERROR),
    lost = ProtoExpert.new("atmdepot.expert.lost_last_cell", "The last cell of a PDU before this one was lost",
        GROUP.SEQUENCE, SEVERITY.ERROR),
    aborted = ProtoExpert.new("atmdepot.expert.aborted", "Length 0: the sender aborted the PDU",
        GROUP.SEQUENCE, SEVERITY.WARN),
    oversize = ProtoExpert.new("atmdepot.expert.oversize", "More cells than any PDU has",
        GROUP.SEQUENCE, SEVERITY.ERROR),
    incomplete = ProtoExpert.new("atmdepot.expert.incomplete", "The capture does not hold the whole PDU",
        GROUP.UNDECODED, SEVERITY.WARN),
}
local experts = {}
for _, info in pairs(e) do experts[#experts + 1] = info end
atm.experts = experts

----------------------------------------------------------------------------------------------------------- preferences

local UNI, NNI = 0, 1
local AUTO, LLC, VC_MUX, VC_MUX_BRIDGED = 0, 1, 2, 3
atm.prefs.ports = Pref.range("UDP ports", "5501-5516,10001-10016", "Ports of UDP links that carry cells", 65535)
atm.prefs.interface = Pref.enum("Cell header", UNI, "The first four bits: GFC at a UNI, part of the VPI at an NNI",
    { { 1, "UNI", UNI }, { 2, "NNI", NNI } }, false)
atm.prefs.encapsulation = Pref.enum("Encapsulation", AUTO, "What an AAL5 SDU begins with (RFC 2684)",
    { { 1, "auto", AUTO }, { 2, "LLC", LLC }, { 3, "VC-mux", VC_MUX }, { 4, "VC-mux bridged", VC_MUX_BRIDGED } }, false)
atm.prefs.bad_crc = Pref.bool("Dissect PDUs whose CRC-32 is wrong", false,
    "Hand on their SDUs, too, if the Length fits; receivers drop them")

---------------------------------------------------------------------------------------------------------------- checks

--- Makes the table of a CRC, most significant bit first, with a width of 8 to 32 bits.
local function crc_table(width, polynomial)
    local top, mask = lshift(1, width - 1), width == 32 and -1 or lshift(1, width) - 1
    local remainders = {}
    for octet = 0, 255 do
        local register = lshift(octet, width - 8)
        for _ = 1, 8 do
            local carry = band(register, top) ~= 0
            register = lshift(register, 1)
            if carry then register = bxor(register, polynomial) end
        end
        remainders[octet] = band(register, mask)
    end
    return remainders
end

local CRC8, CRC10, CRC32 = crc_table(8, 0x07), crc_table(10, 0x233), crc_table(32, 0x04C11DB7)

--- Table of zlib's CRC-32: the same polynomial, least significant bit first.
local ZLIB = {}
for octet = 0, 255 do
    local register = octet
    for _ = 1, 8 do
        register = bxor(rshift(register, 1), band(register, 1) * 0xEDB88320)
    end
    ZLIB[octet] = register
end

local function unsigned(number) return number % 0x100000000 end

-- I.432.1: the CRC-8 of the header's first four octets, plus 55.
local function hec(a, b, c, d) return bxor(CRC8[bxor(CRC8[bxor(CRC8[bxor(CRC8[a], b)], c)], d)], 0x55) end

-- Four octets at a time take a quarter of the time of single octets: the remainders of the first and the last two.
local FIRST_TWO, LAST_TWO = {}, {}
do
    local function one_more_octet(register) return bxor(lshift(register, 8), CRC32[rshift(register, 24)]) end
    for first = 0, 255 do
        local one = one_more_octet(CRC32[first])
        for second = 0, 255 do
            local two = bxor(one, CRC32[second])
            LAST_TWO[first * 256 + second] = two
            FIRST_TWO[first * 256 + second] = one_more_octet(one_more_octet(two))
        end
    end
end

--- AAL5's CRC-32 of octets[from..to]; their number is a multiple of four.
local function crc32(octets, from, to)
    local register = -1
    for at = from, to, 4 do
        local a, b, c, d = octets:byte(at, at + 3)
        register = bxor(register, a * 0x1000000 + b * 0x10000 + c * 0x100 + d)
        register = bxor(FIRST_TWO[rshift(register, 16)], LAST_TWO[band(register, 0xFFFF)])
    end
    return unsigned(bnot(register))
end

local function zlib_crc32(octets, from, to)
    local register = -1
    for at = from, to do
        register = bxor(rshift(register, 8), ZLIB[band(bxor(register, octets:byte(at)), 0xFF)])
    end
    return unsigned(bnot(register))
end

--- True for an OAM payload with a right CRC-10: the remainder of all its 384 bits is 0.
local function crc10_is_right(payload)
    local register = 0
    for at = 1, PAYLOAD do
        register = bxor(band(lshift(register, 8), 0x3FF), CRC10[bxor(rshift(register, 2), payload:byte(at))])
    end
    return register == 0
end

local function uint(octets, from, to)
    local number = 0
    for at = from, to do number = number * 256 + octets:byte(at) end
    return number
end

--------------------------------------------------------------------------------------------------------------- headers

-- The wrong bit by syndrome, of the 40 bits of a header; 0 is the last bit, of the HEC.
local WRONG_BIT = {}
for position = 0, 39 do
    local octets = { 0, 0, 0, 0, 0 }
    octets[5 - math.floor(position / 8)] = lshift(1, position % 8)
    -- I.432.1 adds 55 to the HEC; without the 55 a syndrome depends on the wrong bit alone.
    WRONG_BIT[bxor(hec(octets[1], octets[2], octets[3], octets[4]), 0x55, octets[5])] = position
end

local USER, OAM, RM, IDLE, OTHER = "user", "OAM", "RM", "idle", "other"
local FLOW = { [3] = "F4 segment", [4] = "F4 end-to-end" } -- by VCI
local F5_FLOW = { [4] = "F5 segment", [5] = "F5 end-to-end" } -- by PTI

--- The kind of a cell by its VPI, VCI and PTI, and the flow of an OAM cell.
local function kind_of(vpi, vci, pti)
    if vci == 0 then return vpi == 0 and IDLE or OTHER end
    if FLOW[vci] then return OAM, FLOW[vci] end
    if F5_FLOW[pti] then return OAM, F5_FLOW[pti] end
    if pti == 6 then return RM end
    if pti == 7 or vci < 5 or vci == 6 then return OTHER end -- 1 and 2 are meta- and broadcast signalling
    return USER
end

local CORRECT, CORRECTED, WRONG, NOT_CORRECTED = "correct", "corrected", "wrong", "not corrected"

--- A header's fields; `hec` is the verdict of a receiver in correction mode. A single wrong bit is corrected.
local function parse_header(octets)
    local word = uint(octets, 1, 4)
    local syndrome = bxor(hec(octets:byte(1, 4)), octets:byte(5))
    local verdict = CORRECT
    if syndrome ~= 0 then
        local position = WRONG_BIT[syndrome]
        verdict = position and CORRECTED or WRONG
        -- Positions 0 to 7 are the HEC itself: the word is right.
        if position and position >= 8 then word = unsigned(bxor(word, lshift(1, position - 8))) end
    end
    local uni = atm.prefs.interface == UNI
    local vpi = math.floor(word / 0x100000) % (uni and 0x100 or 0x1000)
    local vci = math.floor(word / 16) % 0x10000
    local pti = math.floor(word / 2) % 8
    local kind, flow = kind_of(vpi, vci, pti)
    local vc = vpi .. "/" .. vci
    local what = kind == IDLE and "idle" or flow and "OAM " .. flow or PTI[pti]
    return {
        word = word, hec = verdict, uni = uni, vpi = vpi, vci = vci, vc = vc, kind = kind, flow = flow, user = pti < 4,
        last = kind == USER and pti % 2 == 1,
        text = string.format("%s, %s, CLP %d", vc, what, word % 2),
    }
end

local headers, headers_kept = {}, 0

local function look_up(octets)
    local header = headers[octets]
    if not header then
        -- Simply start again: the headers in use come back at once.
        if headers_kept >= MAX_HEADERS then headers, headers_kept = {}, 0 end
        header = parse_header(octets)
        headers[octets], headers_kept = header, headers_kept + 1
    end
    return header
end

--- The receiver's mode machine (I.432.1 figure 3): its verdict on a cell, and true if it is now in detection mode.
local function judge(header, detecting)
    if header.hec == CORRECT then return CORRECT, false end
    if header.hec == CORRECTED and detecting then return NOT_CORRECTED, true end
    return header.hec, true
end

------------------------------------------------------------------------------------------------------------ reassembly
--
-- A link is a direction of a UDP conversation: { vcs, detecting }. `vcs` has, for each VC with a PDU under way, its
-- last part: { before, octets, cells, first, pdu, given_up }, a list that runs back to the PDU's first datagram. Parts
-- never change: a datagram's record can hold the parts that it found (`parts`, by VC), and a later visit, in any order,
-- sees the state of the first visit. Only `pdu`, which all parts share, gets later the frame in which it `ended` and
-- its number of `cells`; the record holds the PDUs that it left `unfinished`.

local links, records = {}, {}

local CUT, OVERSIZE = "incomplete", "oversize"

--- State of a link's VCs after cells that the capture lacks: up to the next last cell, each PDU may lack cells.
local after_a_gap = { __index = function() return { cells = 0, pdu = {}, given_up = CUT } end }

--- The octets of a PDU: of the datagrams before, then of the present datagram.
local function whole(vc)
    local pieces, part = { table.concat(vc.pieces) }, vc.part
    while part do
        pieces[#pieces + 1] = part.octets
        part = part.before
    end
    for at = 1, math.floor(#pieces / 2) do
        pieces[at], pieces[#pieces + 1 - at] = pieces[#pieces + 1 - at], pieces[at]
    end
    return table.concat(pieces)
end

--- A VC's state at the beginning of a datagram, or after a PDU's end, for the cells that come.
local function open_vc(part, frame)
    part = part or { cells = 0, pdu = {} }
    return {
        part = part.octets and part or nil, pieces = {}, cells = part.cells, first = part.first or frame,
        pdu = part.pdu, given_up = part.given_up,
    }
end

local function part_of(vc)
    return {
        before = vc.part, octets = not vc.given_up and table.concat(vc.pieces) or nil, cells = vc.cells,
        first = vc.first, pdu = vc.pdu, given_up = vc.given_up,
    }
end

--- Adds a cell to its VC's PDU; returns the PDU if the cell was its last.
local function add_cell(vc, cell, payload, frame)
    vc.cells = vc.cells + 1
    cell.pdu, cell.place = vc.pdu, vc.cells
    if vc.cells > MAX_CELLS and not vc.given_up then
        vc.given_up, vc.pieces, vc.part = OVERSIZE, {}, nil
    end
    if not vc.given_up then vc.pieces[#vc.pieces + 1] = payload end
    if not cell.header.last then return nil end
    vc.pdu.ended, vc.pdu.cells = frame, vc.cells
    return {
        header = cell.header, cells = vc.cells, first = vc.first, given_up = vc.given_up,
        octets = not vc.given_up and whole(vc) or nil,
    }
end

--- Follows `count` cells; returns the cells, and the PDUs that end in them. `link` is given on the first visit only.
local function follow(octets, count, record, link, frame)
    local detecting, open, cells, pdus = record.detecting, {}, {}, {}
    for n = 1, count do
        local at = (n - 1) * CELL
        local header = look_up(octets:sub(at + 1, at + HEADER))
        local cell = { at = at, header = header }
        cell.hec, detecting = judge(header, detecting)
        if header.kind == USER and (cell.hec == CORRECT or cell.hec == CORRECTED) then
            local key = header.vc
            -- nil: not met in this datagram; false: a PDU ended in it. Only the first may go on with an earlier part.
            if open[key] == nil and link then record.parts[key] = link.vcs[key] end
            open[key] = open[key] or open_vc(open[key] == nil and record.parts[key], frame)
            local pdu = add_cell(open[key], cell, octets:sub(at + HEADER + 1, at + CELL), frame)
            if pdu then
                pdus[#pdus + 1] = pdu
                open[key] = false
            end
        end
        cells[n] = cell
    end
    if link then
        link.detecting = detecting
        for key, vc in pairs(open) do link.vcs[key] = vc and part_of(vc) end
    end
    for key, vc in pairs(open) do
        if vc then
            record.unfinished[key] = record.unfinished[key] or vc.pdu
            vc.pdu.ended, vc.pdu.cells = record.unfinished[key].ended, record.unfinished[key].cells
        end
    end
    return cells, pdus
end

--- A receiver's verdict on a whole PDU, in the order of I.363.5.
local function examine(pdu)
    local octets = pdu.octets
    local size = #octets
    pdu.length = uint(octets, size - 5, size - 4)
    pdu.crc = uint(octets, size - 3, size)
    pdu.pad = size - TRAILER - pdu.length
    pdu.computed = crc32(octets, 1, size - 4)
    if pdu.crc == pdu.computed then
        pdu.crc_status = "good"
    else
        local dynamips = zlib_crc32(octets, 1, size - 4)
        -- Dynamips writes zlib's CRC as it is (its bridge) or complemented (PA-A1).
        local is_dynamips = pdu.crc == dynamips or pdu.crc == 0xFFFFFFFF - dynamips
        pdu.crc_status = is_dynamips and "dynamips" or "bad"
    end
    pdu.fits = pdu.length > 0 and pdu.pad >= 0 and pdu.pad < PAYLOAD
    if pdu.crc_status == "bad" then return "crc-error" end
    if pdu.length == 0 then return "aborted" end
    return pdu.fits and "good" or "length-error"
end

--- True if the PDU's last cells alone are a good PDU: the cells before are another PDU's, whose last cell was lost.
local function follows_a_lost_cell(pdu)
    -- Octets of the cells that the Length in the trailer accounts for.
    local own = math.floor((pdu.length + TRAILER + PAYLOAD - 1) / PAYLOAD) * PAYLOAD
    local size = #pdu.octets
    return pdu.length > 0 and own < size and crc32(pdu.octets, size - own + 1, size - 4) == pdu.crc
end

----------------------------------------------------------------------------------------------------------------- trees

--- The name of an OAM cell; its type and function in figures if it has no name.
local function oam_name(octet)
    return OAM_CELL[octet] or string.format("type %d function %d", math.floor(octet / 16), octet % 16)
end

local UNUSED = string.char(0x6A)

--- True for a loopback in the older layout 12/12/16, as far as its unused octets tell.
local function is_older(payload)
    if payload:sub(31, 46) ~= UNUSED:rep(16) or payload:sub(7, 22) == string.char(0xFF):rep(16) then return false end
    return payload:sub(23, 30) ~= UNUSED:rep(8) or payload:sub(19, 22) == UNUSED:rep(4)
end

local function add_monitoring_fields(tree, range, octet)
    tree:add(f.pm_sequence, range(1, 1))
    tree:add(f.pm_cells, range(2, 2))
    tree:add(f.pm_parity, range(4, 2))
    tree:add(f.pm_cells_clp0, range(6, 2))
    tree:add(f.pm_time, range(8, 4))
    if octet == BACKWARD then
        tree:add(f.pm_reported, range(39, 1))
        tree:add(f.pm_bad_blocks, range(40, 1))
        tree:add(f.pm_received_clp0, range(41, 2))
        tree:add(f.pm_errors, range(43, 1))
        tree:add(f.pm_received, range(44, 2))
    end
end

local function add_activation_fields(tree, range)
    tree:add(f.activation_message, range(1, 1))
    tree:add(f.activation_direction, range(1, 1))
    tree:add(f.activation_tag, range(2, 1))
    tree:add(f.activation_block_a_b, range(3, 1))
    tree:add(f.activation_block_b_a, range(3, 1))
end

local function add_function_fields(tree, range, octet, payload)
    if octet == AIS or octet == RDI then
        tree:add(f.defect_type, range(1, 1))
        tree:add(f.defect_location, range(2, 16))
    elseif octet == LOOPBACK then
        tree:add(f.to_be_looped, range(1, 1))
        tree:add(f.tag, range(2, 4))
        local size = is_older(payload) and 12 or 16
        tree:add(f.location, range(6, size))
        tree:add(f.source, range(6 + size, size))
    elseif octet == FORWARD or octet == BACKWARD then
        add_monitoring_fields(tree, range, octet)
    elseif ACTIVATION[octet] then
        add_activation_fields(tree, range)
    elseif octet ~= CONTINUITY_CHECK then
        tree:add(f.oam_specific, range(1, 45))
    end
end

local function add_oam(item, cell, range, payload)
    local octet = payload:byte(1)
    local name = oam_name(octet)
    item:append_text(", " .. name)
    item:add(f.oam_flow, cell.header.flow):set_generated()
    item:add(f.oam_type, range(0, 1))
    item:add(f.oam_function, range(0, 1))
    item:add(f.oam_cell, range(0, 1), octet, "OAM cell: " .. name):set_generated()
    add_function_fields(item, range, octet, payload)
    local right = crc10_is_right(payload)
    item:add(f.crc10, range(46, 2)):append_text(right and " (correct)" or " (wrong)")
    item:add(f.crc10_status, right and "correct" or "wrong"):set_generated()
    if not right then
        item:append_text(", CRC-10 wrong")
        item:add_proto_expert_info(e.crc10)
    end
end

local function add_header(item, cell, tvb)
    local header, word = cell.header, tvb(cell.at, 4)
    -- The fields are the corrected word's, if a bit was wrong.
    if header.uni then item:add(f.gfc, word, header.word) end
    item:add(header.uni and f.vpi_uni or f.vpi_nni, word, header.word)
    item:add(f.vci, word, header.word)
    item:add(f.pti, word, header.word)
    if header.user then item:add(f.efci, word, header.word) end
    item:add(f.clp, word, header.word)
    item:add(f.hec, tvb(cell.at + 4, 1))
    item:add(f.hec_status, cell.hec):set_generated()
    if cell.hec == CORRECTED then
        item:append_text(", HEC: one wrong bit, corrected")
        item:add_proto_expert_info(e.corrected)
    elseif cell.hec ~= CORRECT then
        item:append_text(", HEC " .. cell.hec)
        item:add_proto_expert_info(e.hec)
    end
end

local function add_cell_tree(tree, number, cell, tvb, octets, frame)
    local item = tree:add(f.cell, tvb(cell.at, CELL))
    item:set_text("Cell " .. number .. ": " .. cell.header.text)
    add_header(item, cell, tvb)
    local range = tvb(cell.at + HEADER, PAYLOAD)
    if cell.header.kind == IDLE then item:add(f.idle, true):set_generated() end
    if cell.header.kind == OAM then
        add_oam(item, cell, range, octets:sub(cell.at + HEADER + 1, cell.at + CELL))
        return
    end
    if cell.place then
        local ended, total = cell.pdu.ended, cell.pdu.cells
        item:add(f.place, cell.place):append_text(total and " of " .. total or ""):set_generated()
        if ended and ended ~= frame then item:add(f.reassembled_in, ended):set_generated() end
    end
    item:add(f.payload, range)
end

local GIVEN_UP = {
    [OVERSIZE] = { e.oversize, "more cells than any PDU has" }, [CUT] = { e.incomplete, "not wholly captured" },
}

--- Adds the trailer's fields and their faults; `tvb` is the whole PDU.
local function add_trailer(item, pdu, tvb)
    local at = tvb:len() - TRAILER
    if pdu.fits then item:add(f.pad, tvb(pdu.length, pdu.pad), pdu.pad):set_generated() end
    item:add(f.uu, tvb(at, 1))
    item:add(f.cpi, tvb(at + 1, 1))
    item:add(f.length, tvb(at + 2, 2))
    local crc = item:add(f.crc, tvb(at + 4, 4))
    if pdu.crc_status == "good" then
        crc:append_text(" (correct)")
    else
        crc:append_text(string.format(" (%s, AAL5's is 0x%08x)", pdu.crc_status, pdu.computed))
        crc:add_proto_expert_info(pdu.crc_status == "bad" and e.crc or e.dynamips)
    end
    item:add(f.crc_status, pdu.crc_status):set_generated()
    if pdu.length == 0 then
        item:add_proto_expert_info(e.aborted)
    elseif not pdu.fits then
        item:add_proto_expert_info(e.length, string.format("Length %d does not fit %d cells", pdu.length, pdu.cells))
    end
    if not pdu.fits and follows_a_lost_cell(pdu) then item:add_proto_expert_info(e.lost) end
end

--- Adds a PDU to the tree; returns a summary, and its SDU as a tvb if another dissector is to have it.
local function add_pdu_tree(tree, pdu, frame)
    local header = pdu.header
    local name = string.format("AAL5 PDU, %s, %d cell%s", header.vc, pdu.cells, pdu.cells == 1 and "" or "s")
    local tvb = pdu.octets and ByteArray.new(pdu.octets, true):tvb(name)
    local item = tvb and tree:add(f.pdu, tvb()) or tree:add(f.pdu)
    local status = pdu.octets and examine(pdu) or pdu.given_up
    local summary = status == "good" and string.format("%s, Length %d", name, pdu.length) or name .. ", " .. status
    item:set_text(summary)
    item:add(f.pdu_status, status):set_generated()
    item:add(f.pdu_vpi, header.vpi):set_generated()
    item:add(f.pdu_vci, header.vci):set_generated()
    item:add(f.pdu_cells, pdu.cells):set_generated()
    if pdu.first ~= frame then item:add(f.pdu_first, pdu.first):set_generated() end
    if not tvb then
        item:add_proto_expert_info(GIVEN_UP[status][1])
        return nil, summary
    end
    add_trailer(item, pdu, tvb)
    local is_wanted = status == "good" or atm.prefs.bad_crc and pdu.fits
    return is_wanted and tvb(0, pdu.length):tvb() or nil, summary
end

--------------------------------------------------------------------------------------------------------- what is inside

-- Reserved VCIs with a protocol of their own: signalling and ILMI.
local BY_VCI = { [5] = "sscop", [16] = "snmp" }

--- The dissector by the IP version; IPv4's header length is at least five words.
local function ip_dissector(first)
    if first >= 0x45 and first <= 0x4F then return "ip" end
    return math.floor(first / 16) == 6 and "ipv6" or "data"
end

--- The octets of a report by its fields: of version 1 to 3, or the beginning of a later one; nil if it is none.
local function report_size(octets, length)
    if length < REPORT_SIZE or octets:sub(1, 4) ~= "ADST" then return nil end
    local version = octets:byte(5)
    if version == 1 then return length == REPORT_SIZE and length or nil end
    if version < 1 or length < REPORT_2_SIZE then return nil end
    local size = REPORT_2_SIZE + octets:byte(REPORT_2_SIZE)
    if version > 2 then size = size + REPORT_3_MORE end
    return (version <= 3 and length == size or version > 3 and length >= size) and size or nil
end

local function show_report(sdu, size, pinfo, tree)
    local item = tree:add(atm, sdu(), "atmdepot edge node's statistics")
    for _, row in ipairs(REPORT) do item:add(row[1], sdu(row[2], row[3])) end
    if size >= REPORT_2_SIZE then
        for _, row in ipairs(REPORT_2) do item:add(row[1], sdu(row[2], row[3])) end
        local name_end = sdu(4, 1):uint() > 2 and size - REPORT_3_MORE or size
        if name_end > REPORT_2_SIZE then item:add(report_follows, sdu(REPORT_2_SIZE, name_end - REPORT_2_SIZE)) end
        if name_end < size then
            for _, row in ipairs(REPORT_3) do item:add(row[1], sdu(name_end + row[2], row[3])) end
        end
    end
    if sdu:len() > size then item:add(report_appended, sdu(size)) end
    pinfo.cols.info:set("Edge node's statistics: server " .. (SERVER[sdu(5, 1):uint()] or "?"))
end

--- The octets of a message of depots and edge nodes by its fields; nil if it is none, or is cut short.
local function message_size(octets, length)
    if length < MESSAGE_HEAD or octets:sub(1, 4) ~= "ADAN" or octets:byte(5) < 1 then return nil end
    local kind = octets:byte(6)
    local size = BODY_SIZE[kind]
    if not size or length < size then return nil end
    if kind == 1 then size = size + octets:byte(21) + octets:byte(22) end
    if kind == FLOWS then size = size + uint(octets, 17, 18) * FLOW4_SIZE + uint(octets, 19, 20) * FLOW6_SIZE end
    return size <= length and size or nil
end

local function add_flow(tree, sdu, at, half, client, service)
    local item = tree:add(message.flow, sdu(at, 2 * half + 7))
    item:add(message.protocol, sdu(at, 1))
    item:add(client, sdu(at + 1, half - 2))
    item:add(message.client_port, sdu(at + half - 1, 2))
    item:add(service, sdu(at + half + 1, half - 2))
    item:add(message.service_port, sdu(at + 2 * half - 1, 2))
    item:add(message.vci, sdu(at + 2 * half + 1, 2))
    item:add(message.half_open, sdu(at + 2 * half + 3, 4))
    item:add(message.age, sdu(at + 2 * half + 3, 4))
end

local function show_message(sdu, pinfo, tree)
    local kind = sdu(5, 1):uint()
    local item = tree:add(atm, sdu(), "atmdepot " .. MESSAGE[kind])
    for _, rows in ipairs({ message_head, message_body[kind] }) do
        for _, row in ipairs(rows) do item:add(row[1], sdu(row[2], row[3])) end
    end
    if kind == 1 then
        local size, node_size = sdu(20, 1):uint(), sdu(21, 1):uint()
        if size > 0 then item:add(message.set, sdu(22, size)) end
        if node_size > 0 then item:add(message.node, sdu(22 + size, node_size)) end
    elseif kind == FLOWS then
        local at = BODY_SIZE[FLOWS]
        for _ = 1, sdu(16, 2):uint() do
            add_flow(item, sdu, at, 6, message.client4, message.service4)
            at = at + FLOW4_SIZE
        end
        for _ = 1, sdu(18, 2):uint() do
            add_flow(item, sdu, at, 18, message.client6, message.service6)
            at = at + FLOW6_SIZE
        end
    end
    pinfo.cols.info:set("Depots and edge nodes: " .. MESSAGE[kind])
end

--- True if an SDU looks like VC-multiplexed bridged Ethernet: two octets of padding, then an EtherType or a length.
local function looks_bridged(octets, length)
    if length < 16 or uint(octets, 1, 2) ~= 0 then return false end
    local kind = uint(octets, 15, 16)
    return kind >= 0x0600 or kind <= length - 16
end

--- The name of the dissector for an SDU, and the offset at which it begins.
local function dissector_of(pdu)
    local octets, choice = pdu.octets, atm.prefs.encapsulation
    if BY_VCI[pdu.header.vci] then return BY_VCI[pdu.header.vci], 0 end
    local llc = octets:sub(1, 3)
    if choice == LLC or choice == AUTO and pdu.length > 3 and (llc == "\170\170\3" or llc == "\254\254\3") then
        return "llc", 0
    end
    if choice == VC_MUX_BRIDGED and pdu.length > 2 or choice == AUTO and looks_bridged(octets, pdu.length) then
        return "eth_withoutfcs", 2
    end
    return choice == VC_MUX_BRIDGED and "data" or ip_dissector(octets:byte(1)), 0
end

-- Cells inside packets that came in cells would need a stack of this state: they stay data.
local is_inside = false

--- Calls the next dissector; pcall, because a malformed packet, which it shows itself, raises an error in Lua.
local function hand_on(pdu, sdu, pinfo, tree)
    local report = report_size(pdu.octets, pdu.length)
    if report then return show_report(sdu, report, pinfo, tree) end
    if message_size(pdu.octets, pdu.length) then return show_message(sdu, pinfo, tree) end
    local name, at = dissector_of(pdu)
    is_inside = true
    pcall(Dissector.call, Dissector.get(name), at == 0 and sdu or sdu(at):tvb(), pinfo, tree)
    is_inside = false
end

--- Adds each PDU's tree and its SDU's dissection; their texts follow one another in the info column.
local function show_pdus(pdus, pinfo, tree)
    for n, pdu in ipairs(pdus) do
        if n > 1 then
            pinfo.cols.info:append("; ")
            pinfo.cols.info:fence()
        end
        local sdu, summary = add_pdu_tree(tree, pdu, pinfo.number)
        pinfo.cols.protocol:set("AAL5")
        pinfo.cols.info:set(summary)
        if sdu then hand_on(pdu, sdu, pinfo, tree) end
    end
end

------------------------------------------------------------------------------------------------------------- datagrams

--- A cell's label in a line on many cells; `octets` are the datagram's.
local function label_of(cell, octets)
    local header = cell.header
    if cell.hec ~= CORRECT and cell.hec ~= CORRECTED then return "HEC " .. cell.hec end
    if header.kind == IDLE then return "idle" end
    if header.kind == RM then return "RM " .. header.vc end
    if header.kind ~= OAM then return header.vc end
    return string.format("OAM %s %s %s", header.flow, oam_name(octets:byte(cell.at + HEADER + 1)), header.vc)
end

--- Adds a text to a list of at most `limit` different texts; then "..." marks the rest.
local function add_once(list, text, limit)
    if list[text] or #list > limit then return end
    list[text] = true
    list[#list + 1] = #list < limit and text or "..."
end

--- A line for a datagram: its number of cells, their VCs and kinds, and the frames in which their PDUs end.
local function summary_of(cells, octets, frame)
    local labels, ends = {}, {}
    for _, cell in ipairs(cells) do
        add_once(labels, label_of(cell, octets), 8)
        local ended = cell.pdu and cell.pdu.ended
        if ended and ended ~= frame then add_once(ends, tostring(ended), 8) end
    end
    local text = string.format("%d cell%s, %s", #cells, #cells == 1 and "" or "s", table.concat(labels, ", "))
    return #ends > 0 and text .. " [reassembled in " .. table.concat(ends, ", ") .. "]" or text
end

-- Fields of a plain cell.
local cell_fields = {
    f.cell, f.gfc, f.vpi_uni, f.vpi_nni, f.vci, f.pti, f.efci, f.clp, f.hec, f.hec_status, f.idle, f.place,
    f.reassembled_in, f.payload,
}

--- True if the user sees plain cells: in a visible tree, or by a filter.
local function cells_are_wanted(tree)
    if tree.visible then return true end
    for _, field in ipairs(cell_fields) do
        if tree:referenced(field) then return true end
    end
    return false
end

--- Shows a datagram on a link that is no whole number of cells: its receivers drop it.
local function show_odd_length(tvb, pinfo, tree)
    local text = string.format("%d octets are no whole number of cells", tvb:reported_len())
    pinfo.cols.protocol:set("ATM")
    pinfo.cols.info:set(text)
    tree:add(atm, tvb(), "ATM cells over UDP: " .. text):add_proto_expert_info(e.datagram)
    return tvb:len()
end

--- Size of a datagram's cells in octets: all of it, less the tag of a link with a key if all HECs before it are right.
local function size_of_cells(tvb)
    local size = tvb:reported_len()
    if size <= TAG or size % CELL ~= TAG then return size end
    local octets = tvb:raw()
    for at = 1, math.min(#octets - HEADER + 1, size - TAG), CELL do
        if look_up(octets:sub(at, at + HEADER - 1)).hec ~= CORRECT then return size end
    end
    return size - TAG
end

--- The record of a datagram on its first visit, and its link; no record if it is not a link's.
local function first_visit(pinfo, size)
    local from, to = tostring(pinfo.src), tostring(pinfo.dst)
    local name = string.format("%s %d > %s %d", from, pinfo.src_port, to, pinfo.dst_port)
    local link = links[name]
    if size % CELL ~= 0 then return link and {} or nil end
    if not link then
        link = { vcs = {}, detecting = false }
        links[name] = link
    end
    return { detecting = link.detecting, parts = {}, unfinished = {} }, link
end

local function show_cells(cells, octets, tvb, pinfo, tree)
    local summary = summary_of(cells, octets, pinfo.number)
    pinfo.cols.protocol:set("ATM")
    pinfo.cols.info:set(summary)
    local item = tree:add(atm, tvb(), "ATM cells over UDP: " .. summary)
    item:add(f.cells, #cells):set_generated()
    local all = cells_are_wanted(tree)
    for number, cell in ipairs(cells) do
        -- Cells that are not plain may have expert infos: they are always added.
        if all or cell.hec ~= CORRECT or cell.header.kind == OAM then
            add_cell_tree(item, number, cell, tvb, octets, pinfo.number)
        end
    end
    return item
end

function atm.dissector(tvb, pinfo, tree)
    if tvb:reported_len() == 0 or tvb:len() == 0 or is_inside then return 0 end
    local length, size = tvb:reported_len(), size_of_cells(tvb)
    local key = pinfo.number * 0x100000 + tvb:offset()
    local record, link = records[key], nil
    if pinfo.in_error_pkt then
        -- An ICMP error quotes a datagram that went the other way: its cells are shown, but belong to no PDU.
        if size % CELL ~= 0 then return 0 end
        record = { detecting = false, parts = {}, unfinished = {} }
    elseif not pinfo.visited then
        -- Also with a record: with a read filter, tshark gives the number of a frame that it dropped to the next frame.
        record, link = first_visit(pinfo, size)
        records[key] = record
    end
    if not record then return 0 end
    if size % CELL ~= 0 then return show_odd_length(tvb, pinfo, tree) end

    local octets = tvb:raw()
    local kept = math.floor(math.min(#octets, size) / CELL)
    local cells, pdus = follow(octets, kept, record, link, pinfo.number)
    local item = show_cells(cells, octets, tvb, pinfo, tree)
    if size < length and tvb:len() == length then
        item:add(f.tag_counter, tvb(size, COUNTER))
        item:add(f.tag_digest, tvb(size + COUNTER))
    end
    if kept * CELL < size then
        item:add_proto_expert_info(e.cut)
        if link then link.vcs = setmetatable({}, after_a_gap) end
    end
    if not pinfo.in_error_pkt then show_pdus(pdus, pinfo, tree) end
    return tvb:len()
end

--- True if a payload begins as SDUs do, with LLC/SNAP or an IP header; or ends in a right CRC-10.
local function looks_familiar(payload)
    local first = payload:byte(1)
    return payload:sub(1, 3) == "\170\170\3" or first == 0x45 or math.floor(first / 16) == 6 or crc10_is_right(payload)
end

--- Takes datagrams on any port whose HECs are all right; a single cell must also have a familiar payload.
local function try(tvb, pinfo, tree)
    local size = size_of_cells(tvb)
    if size == 0 or size % CELL ~= 0 or tvb:len() < size or is_inside or pinfo.in_error_pkt then return false end
    local octets = tvb:raw()
    for at = 1, size, CELL do
        if look_up(octets:sub(at, at + HEADER - 1)).hec ~= CORRECT then return false end
    end
    if size == CELL and not looks_familiar(octets:sub(HEADER + 1)) then return false end
    if atm.dissector(tvb, pinfo, tree) == 0 then return false end
    pinfo.conversation = atm -- later datagrams of this conversation are dissected without a trial
    return true
end

function atm.init()
    links, records, headers, headers_kept, is_inside = {}, {}, {}, 0, false
end

local udp_ports = DissectorTable.get("udp.port")
local ports = atm.prefs.ports

function atm.prefs_changed()
    headers, headers_kept = {}, 0
    if atm.prefs.ports ~= ports then
        if ports ~= "" then udp_ports:remove(ports, atm) end
        ports = atm.prefs.ports
        if ports ~= "" then udp_ports:add(ports, atm) end
    end
end

udp_ports:add(ports, atm)
atm:register_heuristic("udp", try)
