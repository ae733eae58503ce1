#ifndef SORTIE_STORE_ENVELOPE_H
#define SORTIE_STORE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A message as the queue knows it: envelope (RFC 5321 section 2.3.1),
 * recipients with their decisions and state, and where its content is.
 *
 * Shared by reference count between threads. Written by one owner at a time:
 * the receiving session until store_submit, the committer until done, after
 * that the fields are constant; a recipient's state belongs to the delivery
 * job that holds it.
 */

struct arena;

enum envelope_flag {
	ENVELOPE_SMTPUTF8 = 1,  /* MAIL had SMTPUTF8 (RFC 6531) */
	ENVELOPE_8BITMIME = 2,  /* MAIL had BODY=8BITMIME (RFC 6152) */
	ENVELOPE_8BIT_BODY = 4, /* the body has octets above 127 */
	ENVELOPE_8BIT_HEADER = 8,
	ENVELOPE_LONG_LINES = 16, /* a line over 998 octets */
	ENVELOPE_REPORT = 32,     /* a DSN of our own */
	ENVELOPE_RET_FULL = 64,   /* RET (RFC 3461 4.3); neither: not given */
	ENVELOPE_RET_HDRS = 128,
	ENVELOPE_DOTS = 256, /* some line begins with a dot: must be stuffed */
	ENVELOPE_REQUIRETLS = 512,    /* MAIL had REQUIRETLS (RFC 8689) */
	ENVELOPE_TLS_OPTIONAL = 1024, /* header field "TLS-Required: No" */
};

enum notify_flag { /* NOTIFY (RFC 3461 4.1); 0: not given */
	NOTIFY_NEVER = 1,
	NOTIFY_SUCCESS = 2,
	NOTIFY_FAILURE = 4,
	NOTIFY_DELAY = 8,
};

enum recipient_state {
	RECIPIENT_QUEUED = 0,
	RECIPIENT_DEFERRED,
	RECIPIENT_HELD,
	RECIPIENT_DELIVERED, /* this and below are final */
	RECIPIENT_BOUNCED,
	RECIPIENT_EXPIRED,
	RECIPIENT_DELETED,
};

enum direction { /* the verdict of admission */
	DIRECTION_OUTBOUND = 0,
	DIRECTION_INBOUND,
	DIRECTION_INTERNAL,
};

struct recipient {
	uint32_t index; /* within the message, from 0; its key in the store */
	const char *address;     /* as given at RCPT */
	const char *domain;      /* normalised; what is looked up for MX */
	const char *orcpt;       /* as given: "rfc822;xtext"; NULL when not */
	const char *route;       /* name of the route; NULL: by MX */
	const char *decision;    /* JSON, policy/decision.h; NULL: no policy */
	const char *tls;         /* policy/tls_level.h; NULL: nothing special */
	bool learn;              /* once delivered: an Auto sender */
	const char *sign; /* definitions that sign it, a line each (LF between);
	                     NULL: unsigned */
	const char *layout;      /* stationery that it gets; NULL: none */
	uint8_t notify;          /* enum notify_flag */
	uint8_t direction;       /* enum direction */
	uint8_t state;           /* enum recipient_state */
	bool warned;             /* a delay DSN went out */
	uint32_t attempts;       /* attempts made so far */
	int64_t next_attempt_ms; /* wall; for RECIPIENT_DEFERRED */
	const char *last_reply;  /* NULL, or why it waits; safe text */
};

/* What the sender is still to be told of a recipient, by a report (DSN) that
 * is not durable yet. Numbers of action are those of who reports. */
struct owed {
	uint32_t index; /* the recipient's */
	uint8_t action;
	int64_t at_ms;      /* wall: of the attempt that decided it */
	const char *status; /* "5.1.1" */
	const char *remote; /* the host that decided it; NULL: none */
	const char *reply;  /* what it said, with its code; NULL: nothing */
	const char *reason; /* in our words; NULL */
};

struct content_ref {
	uint64_t segment; /* file number; 0: nowhere yet */
	uint64_t offset;  /* of the first content octet */
	uint64_t len;     /* octets, our Received field included */
};

/* How far somebody reads a content piece by piece; zero at its begin. */
struct content_cursor {
	uint64_t offset;
	uint32_t sum; /* of what was read */
};

struct envelope {
	_Atomic unsigned refs;
	struct arena *arena; /* owns every string and the recipients */
	uint64_t id;
	int64_t received_ms; /* wall */
	const char *sender;  /* reverse-path without brackets; "" is null */
	const char *envid;   /* as given (xtext); NULL when not */
	const char *receipt; /* JSON: client, HELO, TLS, user; for tracking */
	/* Of mail from outside: what was found out about its sender, as the
	 * fields that go on top of it (policy/auth_results.h); NULL: nothing.
	 * Then fields of the content that claim to be ours are left out. */
	const char *auth;
	unsigned flags;      /* enum envelope_flag */
	struct recipient *recipients;
	uint32_t recipients_n;     /* in the array; a page may load a part */
	uint32_t recipients_total; /* of the message as accepted */
	struct content_ref content;
	/* Only in a page: what a report is to tell now. */
	struct owed *owed;
	uint32_t owed_n;
	/* Of one hand-out, for who hands out: jobs that are under way, and
	 * until when what they owe the sender may wait for the others; 0:
	 * nothing is owed. */
	_Atomic uint32_t jobs;
	_Atomic int64_t owed_due_ms;
	/* The content in memory (malloc'ed), CRLF line ends, not dot-stuffed,
	 * hot_len == content.len; NULL: read it from the content log. */
	char *hot;
	size_t hot_len;
	/* For who delivers it: made once, good for several jobs, never
	 * replaced; malloc'ed in one piece. */
	_Atomic(void *) kept;
	/* The last unref calls it before memory goes: gives budgets back. */
	void (*on_free)(struct envelope *env);
	void *on_free_arg;
};

/* One reference, an arena of its own, no recipients. */
struct envelope *envelope_new(uint64_t id);
struct envelope *envelope_ref(struct envelope *env);
void envelope_unref(struct envelope **env);

/* Allocates the recipients array (zeroed) in the arena. */
void envelope_set_recipients(struct envelope *env, uint32_t n);

/* Frees the content in memory before the last unref. */
void envelope_drop_hot(struct envelope *env);

static inline bool
recipient_is_final(const struct recipient *r)
{
	return r->state >= RECIPIENT_DELIVERED;
}

const char *recipient_state_word(enum recipient_state s); /* "queued", ... */

#endif
