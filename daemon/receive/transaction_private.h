#ifndef SORTIE_DAEMON_RECEIVE_TRANSACTION_PRIVATE_H
#define SORTIE_DAEMON_RECEIVE_TRANSACTION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "daemon/queue/decide.h"
#include "daemon/receive/command.h"
#include "daemon/receive/decoder.h"

/*
 * One transaction of a session: envelope and content while they arrive. From
 * MAIL to the answer behind the content, at one snapshot of the configuration.
 */

struct conf_policy;
struct envelope;
struct verify;
struct session;
struct snapshot;
struct upload;

/* Content up to here is collected in memory, budget permitting. */
#define SESSION_MEMORY_MAX 131072

enum content_mode {
	CONTENT_NONE = 0,
	CONTENT_MEMORY,
	CONTENT_STREAM,
	CONTENT_DISCARD, /* the message is doomed, its octets are passed over */
};

struct content {
	enum content_mode mode;
	struct decoder decoder;
	char *hot; /* Received field, then content */
	size_t len;
	size_t cap;
	size_t trace_len; /* octets of our Received field */
	uint64_t taken;   /* of the queue's memory budget */
	struct upload *upload;
	size_t backlog_max;
	struct buf header; /* CONTENT_STREAM: the header again, for checks */
	int64_t until_ms;  /* monotonic end of the whole transfer */
	uint64_t octets;   /* received, whatever becomes of them */
	int64_t span_ms; /* when the present span of progress began; 0: none */
	uint64_t span_octets;       /* octets at that time */
	struct command_fault fault; /* code 0: none; the first one counts */
	const char *reason;         /* of the fault, for the log */
	/* Whose demand it was; NULL: no policy's. */
	const struct conf_policy *policy;
};

struct pending_rcpt {
	const char *address;
	const char *domain;
	const char *orcpt;
	const char *route;
	uint8_t notify;
	uint8_t direction;
	const char *held; /* why it waits for an operator; NULL: it does not */
};

struct transaction {
	bool open;
	bool chunked; /* BDAT was used */
	struct snapshot *snap;
	struct envelope *env;
	const char *sender_domain; /* normalised; NULL: null sender */
	bool need_internal_from;
	bool rated;        /* the client's rates count */
	uint64_t declared; /* SIZE, 0 when not given */
	struct pending_rcpt *rcpts;
	uint32_t rcpts_n;
	uint32_t rcpts_cap;
	uint32_t *seen;    /* hash of recipients: index + 1 */
	uint32_t seen_cap; /* 0, or a power of two */
	struct content content;
	struct decide_facts facts; /* at the end of data */
	struct verify *verify;     /* under way, or NULL */
	const char *auth;          /* what it found, for the receipt; NULL */
};

/* ---- content.c ------------------------------------------------------ */

void content_begin(struct session *s, bool chunked);
size_t content_feed(struct session *s, const char *data, size_t len);
void content_end_chunks(struct session *s);
/* How long the client may take now: a span of data_timeout must bring
 * data_progress octets, or the end; an octet now and then earns no time. */
int64_t content_wait_ms(struct session *s);
void content_doom(struct session *s, unsigned code, const char *enhanced,
                  const char *text, const char *reason);
/* The header block as received; *len_r octets. Until the transaction ends. */
const char *content_header(struct session *s, size_t *len_r);
/* Gives back memory that content in memory does not need. */
void content_settle(struct session *s);
void content_clear(struct session *s);

#endif
