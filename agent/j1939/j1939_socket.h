/* agent/j1939/j1939_socket.h: sockets of the kernel's J1939 (CAN_J1939, since Linux 5.4), and a
 * raw one that only sends, where there is none. The calls alone: what they carry is in
 * j1939_wire.h. */
#pragma once

#include "agent/j1939/j1939_wire.h"

struct mmsghdr;

struct j1939_socket_options {
	uint8_t address; /* sessions to it are answered; 254: none */
	uint64_t name;	 /* the address is claimed with it; 0: none */
	const struct j1939_filter *filters;
	size_t n_filters; /* 0: all passes */
};

/* Whether this kernel has the protocol. Returns 0 or -errno: -EPROTONOSUPPORT, -EAFNOSUPPORT. */
int j1939_socket_probe(void) must_check;
/* Bound, non-blocking, hears all nodes; receive times and failures of sessions are on. Returns the
 * descriptor or -errno. */
int j1939_socket_open(int ifindex, const struct j1939_socket_options *opt) must_check;
int j1939_socket_filter(int fd, const struct j1939_filter *filters, size_t n) must_check;
/* Another address of the same NAME; 254: to say that it has none. */
int j1939_socket_bind(int fd, int ifindex, uint64_t name, uint8_t address) must_check;
/* Up to 8 bytes. Returns 0 or -errno. */
int j1939_socket_send(int fd, uint32_t pgn, uint8_t destination, const uint8_t *data,
		      size_t len) must_check;
/* As recvmmsg, or -errno. */
int j1939_socket_receive(int fd, struct mmsghdr *m, unsigned n, int flags) must_check;

/* CAN_RAW, hears nothing. */
int j1939_raw_open(int ifindex) must_check;
int j1939_raw_send(int fd, uint32_t id, const uint8_t *data, size_t len) must_check;
