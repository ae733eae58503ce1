#ifndef SORTIE_DAEMON_RECEIVE_CLIENTS_H
#define SORTIE_DAEMON_RECEIVE_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "daemon/receive/receive.h"

/*
 * Who is connected, and who guesses passwords; the inside of client_table. A
 * client is an IPv4 address or an IPv6 /64, the smallest network that one
 * host is given. Thread-safe.
 */

enum client_verdict {
	CLIENT_WELCOME = 0,
	CLIENT_TOO_MANY, /* of this client */
	CLIENT_ALL_FULL, /* of all clients */
};

#define CLIENT_NO_LIMIT UINT32_MAX

/* Counts a connection in unless a limit is reached. */
enum client_verdict client_table_enter(struct client_table *t,
                                       const struct net_addr *a,
                                       unsigned per_client, unsigned in_all);
void client_table_leave(struct client_table *t, const struct net_addr *a);

/* AUTH failures: after CLIENT_AUTH_FAILURES within CLIENT_AUTH_WINDOW_MS the
 * client is blocked until that long after the last one. now is monotonic. */
#define CLIENT_AUTH_FAILURES  10
#define CLIENT_AUTH_WINDOW_MS 300000
void client_table_auth_failed(struct client_table *t, const struct net_addr *a,
                              int64_t now_ms);
bool client_table_auth_blocked(struct client_table *t, const struct net_addr *a,
                               int64_t now_ms);

size_t client_table_size(struct client_table *t); /* clients it knows */

/* SipHash-2-4 (Aumasson and Bernstein) with a key of 16 octets: for tables
 * whose keys a stranger chooses (checklist B64). */
uint64_t client_hash(const uint8_t key[16], const void *data, size_t len);

#endif
