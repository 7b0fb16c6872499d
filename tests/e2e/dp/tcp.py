"""TCP connections of this machine, asked for by sock_diag(7): /proc/net/tcp has
those in TIME_WAIT, too, ten thousands in the course of the tests."""
import socket
import struct

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
ERROR, DONE = 2, 3
HEAD = struct.Struct("=IHHII")
# TCP_ESTABLISHED to TCP_NEW_SYN_RECV
ALL, TIME_WAIT, CLOSE, LISTEN = 0x1ffe, 1 << 6, 1 << 7, 1 << 10


def open_n(port):
    """How many connections over IPv4 have this port at our side and are not
    over."""
    ask = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0,
                      ALL & ~(TIME_WAIT | CLOSE | LISTEN)) \
        + struct.pack("!H", port) + bytes(38) + b"\xff" * 8
    n = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                       NETLINK_SOCK_DIAG) as sock:
        sock.send(HEAD.pack(HEAD.size + len(ask), SOCK_DIAG_BY_FAMILY, DUMP,
                            1, 0) + ask)
        while True:
            data, at = sock.recv(65536), 0
            while at < len(data):
                length, kind = HEAD.unpack_from(data, at)[:2]
                if kind == DONE:
                    return n
                assert kind != ERROR, data
                n += kind == SOCK_DIAG_BY_FAMILY
                at += (length + 3) & ~3
