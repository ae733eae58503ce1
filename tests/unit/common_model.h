#ifndef SORTIE_TESTS_UNIT_COMMON_MODEL_H
#define SORTIE_TESTS_UNIT_COMMON_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * What an SMTP server session must do, written down a second time and apart
 * from it: a step of the client goes in, the octets to send and the replies
 * that must come go out. Steps say nothing of the state in which they are
 * made, so any list of them is a test, and so is any part of the list.
 */

/* The server is set up with these. */
#define MODEL_SIZE_MAX   4096 /* limits.message_size */
#define MODEL_HEADER_MAX 1024 /* limits.header_size */
#define MODEL_RCPTS_MAX  4    /* limits.recipients */
#define MODEL_HOPS_MAX   2    /* limits.hops */
#define MODEL_BAD_MAX    10   /* limits.bad_commands */
#define MODEL_IDLE_MAX   8    /* limits.idle_commands */
#define MODEL_COMMAND_MS 300000
#define MODEL_DATA_MS    180000
#define MODEL_SETTINGS                                                         \
	"limits = { message_size = \"4K\"; header_size = \"1K\";\n"            \
	"  recipients = 4; hops = 2; bad_commands = 10; idle_commands = 8;\n"  \
	"  command_timeout = \"5m\"; data_timeout = \"3m\"; };\n"

enum model_client {
	MODEL_AUTHORIZED = 0,
	MODEL_NEEDS_AUTH, /* authorized once it has logged in */
	MODEL_STRANGER,
};

enum model_result { /* of the queue */
	MODEL_OK = 0,
	MODEL_FULL,
	MODEL_FAILED,
};

enum op_kind {
	OP_EHLO = 0,
	OP_HELO,
	OP_MAIL,
	OP_RCPT,
	OP_DATA,
	OP_BDAT,
	OP_RSET,
	OP_SMALL,  /* NOOP and other commands that change nothing */
	OP_BROKEN, /* lines that no verb can be read from */
	OP_STARTTLS,
	OP_AUTH,
	OP_TIME,
	OP_SET,  /* the queue's result, its health, the memory budget */
	OP_HALF, /* a part of a line, a content or a chunk, then the end */
	OP_QUIT,
};

#define OP_KINDS 15

struct op {
	enum op_kind kind;
	unsigned a; /* variants, taken modulo what there is */
	unsigned b;
	unsigned c;
};

struct model_rcpt {
	char address[80];
	const char *orcpt;
	unsigned notify;
};

struct model_mail { /* a message that must have reached the queue */
	char sender[80];
	const char *envid;
	bool utf8;
	bool mime8;
	bool require_tls;
	unsigned ret; /* 0 none, 1 FULL, 2 HDRS */
	unsigned rcpts_n;
	struct model_rcpt rcpts[MODEL_RCPTS_MAX];
	struct buf content;
};

struct model {
	enum model_client client;
	bool closed;
	bool tls;
	bool hello;
	bool esmtp;
	bool user;
	unsigned failures; /* of AUTH */
	unsigned bad;
	unsigned idle;
	enum model_result result;
	bool accepting;
	bool memory;

	bool open; /* a transaction */
	bool chunked;
	bool dead;      /* a chunk failed: BDAT is 503 until MAIL */
	bool need_from; /* somebody of ours, or outside, is written to */
	bool foreign;   /* sender */
	struct model_mail mail;
	char last; /* octet of the chunks so far */
	bool header_bad;
	const char *header_code; /* what the header deserves; NULL: nothing */

	unsigned mails; /* accepted */
	struct model_mail accepted;
};

#define STEP_REPLIES_MAX 24

struct step {       /* what the runner has to do, in this order */
	bool flush; /* first, everything before it must have been answered */
	int set_result; /* -1: as it is */
	int set_accepting;
	int set_memory;
	struct buf bytes;
	size_t cut;  /* octets behind which the replies are waited for; 0 */
	bool atomic; /* all octets in one write */
	/* Each a list of codes, "552,554": any of them. */
	const char *replies[STEP_REPLIES_MAX];
	unsigned replies_n;
	bool barrier; /* nothing may stand behind the octets in one write */
	bool handshake;
	bool garbage; /* instead of a handshake */
	bool half_close;
	int64_t pass_ms;
	bool late_reply; /* the last reply comes after the time has passed */
};

void model_init(struct model *m, enum model_client client, bool tls);
void model_clear(struct model *m);
void step_clear(struct step *st);
/* *out_r is fresh; the caller clears it. */
void model_apply(struct model *m, const struct op *op, struct step *out_r);

/* ---- between the files of the model --------------------------------- */

void step_expect(struct step *st, const char *codes);
void model_bad(struct model *m, struct step *st, const char *codes);
/* The server looks at its patience behind every line. */
void model_line_over(struct model *m, struct step *st);
void model_end_transaction(struct model *m);
void model_data(struct model *m, const struct op *op, struct step *st);
void model_bdat(struct model *m, const struct op *op, struct step *st);
void model_half(struct model *m, const struct op *op, struct step *st);

#endif
