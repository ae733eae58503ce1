#ifndef SORTIE_DAEMON_DELIVER_SESSION_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_SESSION_PRIVATE_H

#include "daemon/deliver/deliver_private.h"
#include "daemon/deliver/ehlo.h"
#include "daemon/deliver/reply.h"

/*
 * Inside a client session: session.c (life, states, events), session_reply.c
 * (what an answer means), session_send.c (commands and transactions).
 *
 * Every command is an entry of one ring: [head, sent) wait for their reply,
 * [sent, tail) are still to be sent. Lock-step is the same with one entry in
 * the first part.
 */

struct connect;
struct io;

enum session_state {
	SESSION_CONNECTING = 0,
	SESSION_GREETING,
	SESSION_EHLO,
	SESSION_HELO,
	SESSION_STARTTLS,
	SESSION_HANDSHAKE,
	SESSION_READY,
	SESSION_ENDED,
};

enum command_kind {
	COMMAND_GREETING = 0, /* nothing is sent, a reply is awaited */
	COMMAND_EHLO,
	COMMAND_HELO,
	COMMAND_STARTTLS,
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_DATA,
	COMMAND_DOT,  /* content and its end */
	COMMAND_BDAT, /* BDAT n LAST and content */
	COMMAND_RSET,
};

struct command {
	enum command_kind kind;
	uint32_t index; /* RCPT: in the transaction */
	struct transaction *transaction;
};

struct transaction {
	TAILQ_ENTRY(transaction) entry;
	struct delivery *delivery; /* NULL once open_n is 0: it may be gone */
	struct payload *payload;
	uint64_t len;       /* of the payload */
	uint64_t end_octet; /* of the output, behind its last; 0: not written */
	uint32_t accepted_n; /* recipients */
	uint32_t replies_n;  /* to RCPT */
	bool bdat;
	bool late;       /* BDAT is queued behind the last reply to RCPT */
	bool answered;   /* some reply to it came */
	uint32_t open_n; /* recipients whose fate is still decided here */
	uint32_t recipients_n;
	uint32_t recipients[]; /* indexes in the delivery; UINT32_MAX: not
	                          this transaction's any more */
};

TAILQ_HEAD(transaction_list, transaction);

struct session {
	TAILQ_ENTRY(session) entry;
	TAILQ_ENTRY(session) ready_entry;
	struct destination *destination;
	struct host *host;         /* a reference */
	struct snapshot *snapshot; /* a reference */
	struct connect *race;
	struct io *io;
	enum session_state state;
	bool was_ready;  /* counted as such by the destination */
	bool in_ready;   /* in its list */
	bool clear_text; /* no STARTTLS: its TLS is broken */
	bool retiring;   /* takes no further transaction */
	bool dirty;      /* the peer may hold a transaction: RSET first */
	bool in_feed;
	struct task reap;

	struct net_endpoint peer;
	struct net_endpoint local;
	struct tls_facts tls;
	struct ehlo ehlo;
	struct reply reply;

	struct command *ring;
	uint32_t ring_size; /* a power of two */
	uint32_t head;      /* these three only grow (modulo 2^32) */
	uint32_t sent;
	uint32_t tail;
	uint64_t output; /* octets given to io */

	struct transaction_list transactions; /* begun, in order */
	unsigned transactions_n;
	uint64_t outstanding; /* octets of payload in them */
	unsigned depth;       /* transactions at once, grows with success */
	unsigned begun_n;     /* transactions in its life */
	unsigned done_n;
	unsigned messages_max; /* then it retires */
	uint32_t recipients_max;
	struct payload_stream *stream; /* a payload is being streamed */
	struct payload_lines lines;
};

/* session.c */
void session_set_state(struct session *s, enum session_state state);
/* What is under way failed for that reason. Ends the session. */
void session_fail(struct session *s, const struct smtp_status *status);
void session_fail_local(struct session *s, enum status_source source,
                        const char *why);
void session_end(struct session *s); /* nothing is under way */
void session_start_tls(struct session *s);
void session_ready(struct session *s);
/* After the ring or the transactions changed: deadline, ready list, QUIT. */
void session_settle(struct session *s);
/* Can it begin a transaction? */
bool session_has_room(const struct session *s);
/* Was the last octet of the content given to the kernel? */
bool session_content_sent(const struct session *s, const struct transaction *t);

/* session_send.c */
void session_queue(struct session *s, enum command_kind kind,
                   struct transaction *t, uint32_t index);
void session_send(struct session *s); /* what may be sent now */
void session_quit(struct session *s); /* says QUIT; session_end follows */
enum smtp_stage session_stage_of(enum command_kind kind);
/* Of what is awaited; STAGE_RSET when nothing is. */
enum smtp_stage session_stage(const struct session *s);
int64_t session_timeout(const struct session *s);
void session_on_drained(struct session *s);

/* session_reply.c */
/* The reply that is complete; input_left: octets behind it. false: the session
 * has ended. */
bool session_on_reply(struct session *s, size_t input_left);
/* Settles what a broken session leaves undecided. */
void session_break_transactions(struct session *s,
                                const struct smtp_status *status);
void session_requeue_transactions(struct session *s);

#endif
