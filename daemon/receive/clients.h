#ifndef SORTIE_DAEMON_RECEIVE_CLIENTS_H
#define SORTIE_DAEMON_RECEIVE_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "daemon/receive/receive.h"

/*
 * Who is connected, who comes too fast, who guesses passwords; the inside of
 * client_table. A client is an IPv4 address or an IPv6 /64, the smallest
 * network that one host is given. Thread-safe. Times are monotonic and come
 * from the caller.
 *
 * Memory: an entry for each client that is connected, and for at most
 * CLIENT_REMEMBERED_MAX others about which there is something to remember. To
 * make room, the one whose rates are least used is forgotten; never one that
 * was refused within the last CLIENT_DENIED_MS or has failed logins. When
 * only such are left, a newcomer's rates are not counted: being unknown must
 * not get worse than being guilty.
 */

struct conf_rate;

#define CLIENT_REMEMBERED_MAX 65536
#define CLIENT_DENIED_MS      60000

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

enum client_rate {
	CLIENT_RATE_CONNECTIONS = 0,
	CLIENT_RATE_MESSAGES,
	CLIENT_RATE_RECIPIENTS,
};

#define CLIENT_RATES 3

/* Takes one of what the rate allows: count at once, then one each time that
 * window/count has passed. false: nothing is left, and nothing was taken. */
bool client_table_take(struct client_table *t, const struct net_addr *a,
                       enum client_rate what, const struct conf_rate *rate,
                       int64_t now_ms);

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
