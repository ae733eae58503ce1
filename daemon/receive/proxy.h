#ifndef SORTIE_DAEMON_RECEIVE_PROXY_H
#define SORTIE_DAEMON_RECEIVE_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/network.h"

/*
 * The header that a proxy in front of us puts before the client's octets:
 * PROXY protocol version 1 (text) and 2 (binary). Pure. Read only from peers
 * that the listen entry names (checklist B17).
 */

#define PROXY_MAX 4096 /* octets of a header, type-length-values included */

enum proxy_result {
	PROXY_MORE = 0,
	PROXY_DONE,
	PROXY_INVALID,
};

struct proxy_header {
	bool known; /* false: the proxy speaks for itself, or does not know */
	struct net_endpoint source;
	struct net_endpoint destination;
	size_t len; /* octets of the header */
};

/* *out_r is filled on PROXY_DONE only. */
enum proxy_result proxy_parse(const char *data, size_t len,
                              struct proxy_header *out_r);

#endif
