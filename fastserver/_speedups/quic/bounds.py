"""What one QUIC connection may cost, where the configuration does not say (threats Q-6 to Q-8)."""

#: Unidirectional streams that the peer may have open at once: HTTP/3 needs three, and some clients grease.
MOST_UNI_STREAMS = 8
#: Gaps in what has come of one stream, each of which holds a piece apart.
STREAM_GAPS = 128
#: Consumed bytes are given back to the peer once they are a quarter of the window or this many.
CREDIT_BYTES = 32 * 1024
#: What is sent and not acknowledged, whatever the congestion window says; bytes.
FLIGHT_BYTES = 4 * 1024 * 1024
#: Frames of one packet (Q-6): each counts once, and one of those that a packet has a few of at the most so many times.
PACKET_LOAD = 512
RARE_LOAD = 16
#: Frames about connection IDs, paths and keys, of which a connection has some at its start and when a peer moves: at
#: once, and per second (Q-6).
RARE_BURST = 256.0
RARE_RATE = 16.0
#: Ranges of packet numbers that are remembered and acknowledged (RFC 9000 section 13.2.3).
ACK_RANGES = 64
#: How long an acknowledgement waits for something to ride on, seconds; we promise 25 ms (RFC 9000 section 13.2.1).
ACK_DELAY_S = 0.005
#: Packets that ask for an acknowledgement before it is sent at once (RFC 9000 section 13.2.2).
ACK_PACKETS = 2
#: An acknowledgement of ours with gaps asks for one itself every so many packets, or its ranges would stay for ever.
ACK_PROBE_PACKETS = 8
#: Every path carries datagrams of this size (RFC 9000 section 14), and most of them those of an Ethernet; bytes.
BASE_DATAGRAM = 1200
LARGE_DATAGRAM = 1452
#: Probes for the larger size before it is given up (RFC 8899 section 5.1.2).
SIZE_PROBES = 3
#: Large packets lost in a row before the smaller size is used again (RFC 8899 section 4.3).
LOST_LARGE_PACKETS = 8
#: Datagrams that one call of ``take_datagrams`` makes at the most.
TURN_DATAGRAMS = 256
#: What may leave at once whatever the rate: so many packets, or so many seconds of the rate.
BURST_PACKETS = 16
BURST_S = 0.002
#: The loop's timers are no finer; seconds.
TIMER_S = 0.001
#: What may wait of a handshake's messages, of which a ClientHello takes a tenth at the most; bytes (Q-6).
CRYPTO_BYTES = 64 * 1024
#: Connection IDs that we have out at once, and that the peer may: one in use, others for paths to come.
CONNECTION_IDS = 4
#: Packets under one key before it is changed; AES-GCM may protect 2**23 (RFC 9001 section 6.6).
KEY_PACKETS = 1 << 22
#: Of a reason that we give with a close; characters.
REASON_CHARACTERS = 200
