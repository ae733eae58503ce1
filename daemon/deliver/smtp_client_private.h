#ifndef SORTIE_DAEMON_DELIVER_SMTP_CLIENT_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_SMTP_CLIENT_PRIVATE_H

#include "daemon/deliver/deliver_private.h"
#include "daemon/deliver/ehlo.h"
#include "daemon/deliver/reply.h"
#include "policy/tls_report.h"

/*
 * Inside a client session: smtp_client.c (life, states, events),
 * smtp_client_reply.c (what an answer means), smtp_client_tls.c (how secure it
 * must be and is), smtp_client_send.c (commands and transactions).
 *
 * Every command is an entry of one ring: [head, sent) wait for their reply,
 * [sent, tail) are still to be sent. Lock-step is the same with one entry in
 * the first part.
 */

struct connect;
struct io;

enum smtp_client_state {
	SMTP_CLIENT_CONNECTING = 0,
	SMTP_CLIENT_GREETING,
	SMTP_CLIENT_EHLO,
	SMTP_CLIENT_HELO,
	SMTP_CLIENT_STARTTLS,
	SMTP_CLIENT_HANDSHAKE,
	SMTP_CLIENT_READY,
	SMTP_CLIENT_ENDED,
};

enum smtp_client_wait { /* what its deadline is for */
	SMTP_CLIENT_WAITS_NOT = 0,
	SMTP_CLIENT_WAITS_IDLE,
	SMTP_CLIENT_WAITS_REPLY,
	SMTP_CLIENT_WAITS_CONTENT,
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
	bool on_idle;    /* begun when nothing else was under way */
	uint32_t open_n; /* recipients whose fate is still decided here */
	uint32_t recipients_n;
	uint32_t recipients[]; /* indexes in the delivery; UINT32_MAX: not
	                          this transaction's any more */
};

TAILQ_HEAD(transaction_list, transaction);

struct smtp_client {
	TAILQ_ENTRY(smtp_client) entry;
	TAILQ_ENTRY(smtp_client) ready_entry;
	struct destination *destination;
	struct host *host;         /* a reference */
	struct snapshot *snapshot; /* a reference */
	struct connect *race;
	struct io *io;
	enum smtp_client_state state;
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
	struct deliver_evidence evidence;
	struct ehlo ehlo;
	struct reply reply;

	struct command *ring;
	uint32_t ring_size; /* a power of two */
	uint32_t head;      /* these three only grow (modulo 2^32) */
	uint32_t sent;
	uint32_t tail;
	enum smtp_client_wait wait;
	uint32_t wait_head; /* head when the wait began */
	uint64_t output;    /* octets given to io */

	struct transaction_list transactions; /* begun, in order */
	unsigned transactions_n;
	uint64_t outstanding; /* octets of payload in them */
	unsigned depth;       /* transactions at once, grows with success */
	unsigned begun_n;     /* transactions in its life */
	unsigned done_n;
	unsigned messages_max; /* then it retires */
	uint32_t recipients_max;
	struct payload_stream *stream; /* a payload is being streamed */
	bool draining;    /* a long content is on its way to the kernel */
	uint64_t written; /* of output, when progress was last looked at */
	struct payload_lines lines;
};

/* smtp_client.c */
void smtp_client_set_state(struct smtp_client *s, enum smtp_client_state state);
/* What is under way failed for that reason. Ends the session. */
void smtp_client_fail(struct smtp_client *s, const struct smtp_status *status);
void smtp_client_fail_local(struct smtp_client *s, enum status_source source,
                            const char *why);
void smtp_client_end(struct smtp_client *s); /* nothing is under way */
void smtp_client_ready(struct smtp_client *s);
/* After the ring or the transactions changed: deadline, ready list, QUIT. */
void smtp_client_settle(struct smtp_client *s);
/* Can it begin a transaction? */
bool smtp_client_has_room(const struct smtp_client *s);
/* Was the last octet of the content given to the kernel? */
bool smtp_client_content_sent(const struct smtp_client *s,
                              const struct transaction *t);

/* smtp_client_tls.c: false when the session has ended. */
/* EHLO (or HELO) was answered well. */
bool smtp_client_greeted(struct smtp_client *s);
/* STARTTLS was answered: 220; by a refusal. */
bool smtp_client_start_tls(struct smtp_client *s);
bool smtp_client_tls_refused(struct smtp_client *s,
                             const struct smtp_status *status);
bool smtp_client_tls_ready(struct smtp_client *s); /* the handshake is done */
/* It failed, or the peer it showed is not good enough: tells the destination
 * what that means for the host. */
void smtp_client_tls_broken(struct smtp_client *s,
                            const struct smtp_status *status);

/* smtp_client_report.c: the session's TLS, once; when it is ready, or why it
 * is not what it should be. */
void smtp_client_report(const struct smtp_client *s, enum tls_failure failure,
                        const char *reason);
void smtp_client_report_ready(const struct smtp_client *s);

/* smtp_client_send.c */
void smtp_client_queue(struct smtp_client *s, enum command_kind kind,
                       struct transaction *t, uint32_t index);
void smtp_client_send(struct smtp_client *s); /* what may be sent now */
void smtp_client_quit(
	struct smtp_client *s); /* says QUIT; smtp_client_end follows */
enum smtp_stage smtp_client_stage_of(enum command_kind kind);
/* Of what is awaited; STAGE_RSET when nothing is. */
enum smtp_stage smtp_client_stage(const struct smtp_client *s);
int64_t smtp_client_timeout(const struct smtp_client *s);
void smtp_client_on_drained(struct smtp_client *s);
/* Content is being written, and went on since the last call. */
bool smtp_client_progressed(struct smtp_client *s);

/* smtp_client_reply.c */
/* The reply that is complete; input_left: octets behind it. false: the session
 * has ended. */
bool smtp_client_on_reply(struct smtp_client *s, size_t input_left);
/* Settles what a broken session leaves undecided. */
void smtp_client_break_transactions(struct smtp_client *s,
                                    const struct smtp_status *status);
void smtp_client_requeue_transactions(struct smtp_client *s);

#endif
