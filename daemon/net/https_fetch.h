#ifndef SORTIE_DAEMON_NET_HTTPS_FETCH_H
#define SORTIE_DAEMON_NET_HTTPS_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mailbox.h"
#include "base/network.h"

/*
 * Small documents over HTTPS, as RFC 8461 section 3.3 wants them fetched: GET,
 * a certificate that verifies for the host (subject alternative names alone),
 * TLS 1.2 or later, status 200 and nothing else, no redirect. One thread does
 * all transfers at once, so that a slow server holds up nobody. It asks no
 * resolver: the addresses are given. No proxy, cookie, credential, cache.
 */

#define HTTPS_ADDRESSES_MAX 10
#define HTTPS_HEADERS_MAX   65536 /* octets of all headers */

enum https_outcome {
	HTTPS_DONE = 0,
	HTTPS_FAILED,    /* no connection, no TLS, another status, too slow */
	HTTPS_UNTRUSTED, /* the certificate does not verify */
	HTTPS_UNFIT,     /* another media type, longer than max_bytes */
	HTTPS_STOPPED,   /* the fetcher is being freed */
};

struct https_fetcher;
struct https_transfer;

struct https_fetch {
	/* In; strings are the caller's until done. */
	const char *host; /* A-labels */
	uint16_t port;
	const char *path; /* begins with "/" */
	struct net_addr addrs[HTTPS_ADDRESSES_MAX];
	size_t addrs_n;
	const char *ca_file;
	const char *media_type; /* "text/plain"; parameters are ignored */
	size_t max_bytes;
	int64_t timeout_ms; /* from submission to the last octet */
	/* Called once, on the fetcher's thread; must be short. The fetch
	 * belongs to the caller again. */
	void (*done)(struct https_fetch *f);

	/* Out */
	enum https_outcome outcome;
	char text[512]; /* what failed, for people; "" when DONE */
	char *body;     /* when DONE: malloc'ed, terminated; the caller's */
	size_t body_len;

	/* Private */
	struct task task;
	struct https_fetcher *fetcher;
	struct https_transfer *transfer;
	struct https_fetch *next;
	int64_t deadline_ms;
};

/* max: transfers at a time; more wait, and their time runs. */
int https_fetcher_new(unsigned max, struct https_fetcher **f_r, struct err *e);
/* Ends what is under way (STOPPED), then the thread. Nothing may be submitted
 * any more. */
void https_fetcher_free(struct https_fetcher **f);

void https_fetcher_submit(struct https_fetcher *f, struct https_fetch *fetch);

#endif
