#ifndef SORTIE_DAEMON_DELIVER_PROBE_H
#define SORTIE_DAEMON_DELIVER_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/deliver/deliver.h"
#include "daemon/deliver/mx.h"
#include "daemon/net/tls.h"
#include "policy/tls_level.h"

/*
 * What a delivery would find: the hosts of a domain or route, what the domain
 * publishes about their TLS, and, when asked, a session with each up to the
 * EHLO behind STARTTLS. No mail is sent, nothing that is found is remembered
 * for deliveries, and addresses that they refuse are refused. On the reactor's
 * thread.
 *
 * A host is asked once for each way to verify it that the needs name: several
 * needs usually share one session. Hosts side by side, a host's sessions one
 * after the other.
 */

struct prober;
struct reactor;
struct resolver;
struct snapshot;
struct sts;

#define PROBES_MAX       4 /* at once */
#define PROBE_NEEDS_MAX  6
#define PROBE_TIMEOUT_MS 25000 /* of all; below the API's own time-out */

struct prober_options {
	struct reactor *reactor;
	struct resolver *resolver;
	struct sts *sts; /* NULL: no MTA-STS is asked for */
};

struct probe_question {
	struct snapshot *snapshot; /* a reference is taken */
	const char *domain; /* normalised, "[literal]" too; copied; NULL: the
	                       route */
	const char *route;  /* a name with hosts in snapshot */
	uint16_t port;      /* 0: the usual one */
	bool connect;       /* else only what DNS and MTA-STS tell */
	/* Copied, but for their strings: those must live until done. */
	const struct tls_need *needs;
	size_t needs_n;     /* 1 to PROBE_NEEDS_MAX */
	int64_t timeout_ms; /* 0: PROBE_TIMEOUT_MS */
};

struct probe_session {             /* what one connection showed */
	struct smtp_status status; /* code 0: it came to its end in order */
	struct net_endpoint peer;
	char greeting[DELIVER_GREETING_MAX];
	bool esmtp;       /* EHLO was answered */
	unsigned offered; /* enum ehlo_flag, before TLS */
	unsigned offered_tls;
	bool answered;                /* shown is known */
	enum tls_peer shown;          /* as verified by auth */
	char detail[STATUS_TEXT_MAX]; /* to shown: a reply, a TLS error; "" */
	enum tls_auth auth;
	struct tls_facts tls;
	struct tls_certificate certificate;
	int64_t took_ms;
};

struct probe_view { /* of a host, under one need */
	struct tls_floor floor;
	int session; /* in the host's; -1: none is needed for it */
	enum tls_peer peer;
	enum tls_move move; /* when the host was asked */
	bool goes;          /* mail would go out here; connect only */
};

struct probe_host {
	struct mx_target target;
	struct tls_host state;
	char why[160]; /* DANE failed; "" */
	struct probe_session sessions[PROBE_NEEDS_MAX];
	size_t sessions_n;
	struct probe_view views[PROBE_NEEDS_MAX]; /* as needs */
};

struct probe_result {
	bool ok; /* there are hosts; else status */
	struct smtp_status status;
	struct probe_host hosts[MX_TARGETS_MAX];
	size_t hosts_n;
};

/* result is the callee's, by free(). Never called before prober_ask returned;
 * exactly once, also when the prober ends first. */
typedef void (*probe_cb)(void *arg, struct probe_result *result);

struct prober *prober_new(const struct prober_options *o);
/* What is under way ends with a status that says so. */
void prober_free(struct prober **p);

/* ERR_BUSY: PROBES_MAX are under way. */
int prober_ask(struct prober *p, const struct probe_question *q, probe_cb done,
               void *arg, struct err *e);

#endif
