#ifndef SORTIE_DAEMON_RECEIVE_SESSION_PRIVATE_H
#define SORTIE_DAEMON_RECEIVE_SESSION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/network.h"
#include "daemon/net/reactor.h"
#include "daemon/net/tls.h"
#include "daemon/queue/queue.h"
#include "daemon/receive/command.h"
#include "daemon/receive/receive.h"
#include "daemon/receive/receiver_private.h"
#include "daemon/receive/reply.h"
#include "daemon/receive/transaction_private.h"

/*
 * One connection of the SMTP server, shared by the files of this room: life
 * (session.c), commands (session_command.c), envelope (session_mail.c),
 * Secure Receipt (session_receipt.c), content (session_data.c), the sender's
 * verification (session_verify.c), AUTH (auth.c), replies (reply.c), Received
 * and receipt (trace.c). All of it on the thread of the session's reactor.
 */

struct auth_check;
struct conf;
struct io;
struct snapshot;

enum session_state {
	SESSION_HANDSHAKE = 0, /* TLS, implicit or after STARTTLS */
	SESSION_COMMAND,
	SESSION_AUTH,      /* a line of AUTH's exchange is awaited */
	SESSION_AUTH_WAIT, /* the password is being checked */
	SESSION_DATA,
	SESSION_BDAT,
	SESSION_UPLOAD, /* all is received, the last of it is being written */
	SESSION_VERIFY, /* SPF, DKIM and DMARC of mail from outside */
	SESSION_COMMIT, /* handed to the queue, which will answer */
	SESSION_CLOSED,
};

#define SESSION_STATES 10

struct session {
	struct session *prev;
	struct session *next;
	struct receiver *receiver;
	struct io *io; /* NULL once closed; a commit may still be under way */
	struct snapshot *snap;
	struct task reaper;
	struct queue_submission submission;
	uint64_t id;
	struct net_endpoint client; /* behind the proxy, if there is one */
	char client_text[NETWORK_TEXT_MAX];
	enum session_state state;
	bool implicit_tls;
	bool greeted;   /* the banner was sent */
	bool hello;     /* EHLO or HELO was accepted */
	bool esmtp;     /* it was EHLO */
	bool skipping;  /* an overlong line is being passed over */
	bool eof;       /* the client will send nothing more */
	bool blocked;   /* input waits for output or an upload to proceed */
	bool bdat_dead; /* a chunk failed: 503 until MAIL */
	bool chunk_last;
	uint64_t chunk_left;
	uint64_t chunk_size;
	struct command_fault chunk_fault; /* what the chunk is answered with */
	char helo[COMMAND_NAME_MAX + 1];
	struct tls_facts tls;
	char *user;              /* authenticated as; NULL */
	struct auth_check *auth; /* exchange under way */
	unsigned auth_failures;
	unsigned bad;
	unsigned idle;
	uint64_t messages;
	struct transaction tx;
	/* Text that does not change between messages, made when first used. */
	char *trace;
	bool trace_utf8;
	const struct snapshot *trace_snap;
	char *receipt;
};

/* ---- session.c ------------------------------------------------------ */

struct session_options {
	struct receiver *receiver;
	int fd; /* taken */
	struct net_endpoint client;
	bool implicit_tls;
	bool early; /* the client spoke first */
};

/* The client has been counted in; the session counts it out. */
void session_start(const struct session_options *o);
void session_drain(struct session *s);
/* Ends it now, with 421 when an answer is possible. */
void session_abort(struct session *s);

void session_set_state(struct session *s, enum session_state to);
/* Closes: gently sends what waits first. The memory goes at the end of the
 * round, or when the commit under way has ended. */
void session_close(struct session *s, bool gently);
/* 421 with this text, then closes. */
void session_end(struct session *s, const char *enhanced, const char *text);
/* Goes on with input that waits, after something finished. */
void session_continue(struct session *s);
void session_arm(struct session *s);
uint64_t session_current_id(const struct session *s);
const struct conf *session_conf(const struct session *s);
/* The texts in trace and receipt no longer hold. */
void session_forget_texts(struct session *s);

/* ---- session_command.c ---------------------------------------------- */

/* Runs one line; rest: octets of input that stand behind its CRLF. */
void session_run_command(struct session *s, const char *line, size_t len,
                         size_t rest);

/* ---- session_mail.c ------------------------------------------------- */

void session_mail(struct session *s, const struct command_line *l);
void session_rcpt(struct session *s, const struct command_line *l);
/* Ends the transaction, if there is one, without a trace. */
void session_reset(struct session *s);

/* ---- session_receipt.c ---------------------------------------------- */

/* Is the session as secure as the policy of this pair demands? If not, RCPT
 * has been refused. inbound: admission's verdict. */
bool session_receipt_rcpt(struct session *s, const char *rcpt, bool inbound);
/* The same at the end of data, when the From field is known: dooms the message
 * for what one of its recipients' policies demands. */
void session_receipt_header(struct session *s, const char *header, size_t len);

/* ---- session_data.c ------------------------------------------------- */

/* rest: octets of input that stand behind the command. */
void session_data(struct session *s, const struct command_line *l, size_t rest);
void session_bdat(struct session *s, const struct command_line *l);
/* Octets used; 0 when it has to wait. */
size_t session_data_input(struct session *s, const char *data, size_t len);
size_t session_bdat_input(struct session *s, const char *data, size_t len);

/* SESSION_UPLOAD: the upload has finished or failed, or made progress. */
void session_uploaded(struct session *s);
/* Hands the message to the queue. */
void session_submit(struct session *s);
/* Answers the content with a refusal, and ends the transaction. */
void session_refuse(struct session *s, unsigned code, const char *enhanced,
                    const char *text, const char *reason);

/* ---- session_verify.c ----------------------------------------------- */

/* The content is complete: SESSION_VERIFY for mail from outside, which ends in
 * session_submit or a refusal. false: there is nothing to verify. */
bool session_verify(struct session *s);

/* ---- auth.c --------------------------------------------------------- */

bool auth_offered(const struct session *s);
void auth_begin(struct session *s, const struct command_line *l);
void auth_line(struct session *s, const char *line, size_t len);
void auth_clear(struct session *s);

/* ---- trace.c -------------------------------------------------------- */

#define TRACE_MAX 2048

const char *trace_protocol(const struct session *s, bool utf8);
/* The Received field of the open transaction into out; its length. */
size_t trace_received(struct session *s, char out[TRACE_MAX]);
/* JSON: client, helo, protocol, tls, user. Valid until forgotten. */
const char *trace_receipt(struct session *s);

#endif
