/*
 * The model of a session, commands but those of content. Written from the
 * design and the RFCs, not from the session; it shares no code with it.
 */
#include "tests/unit/common_model.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_OCTETS 4096
#define BUF_MAX         65536

void
step_expect(struct step *st, const char *codes)
{
	if (st->replies_n < STEP_REPLIES_MAX) {
		st->replies[st->replies_n++] = codes;
	}
}

void
step_clear(struct step *st)
{
	buf_clear(&st->bytes);
}

void
model_bad(struct model *m, struct step *st, const char *codes)
{
	m->bad++;
	step_expect(st, codes);
}

static void
idle(struct model *m, struct step *st, const char *codes)
{
	m->idle++;
	step_expect(st, codes);
}

void
model_line_over(struct model *m, struct step *st)
{
	if (!m->closed &&
	    (m->bad >= MODEL_BAD_MAX || m->idle >= MODEL_IDLE_MAX)) {
		step_expect(st, "421");
		m->closed = true;
	}
}

void
model_init(struct model *m, enum model_client client, bool tls)
{
	*m = (struct model){
		.client = client, .tls = tls, .accepting = true, .memory = true
	};
	buf_init(&m->mail.content, BUF_MAX);
	buf_init(&m->accepted.content, BUF_MAX);
}

void
model_clear(struct model *m)
{
	buf_clear(&m->mail.content);
	buf_clear(&m->accepted.content);
}

void
model_end_transaction(struct model *m)
{
	struct buf content = m->mail.content;

	m->open = false;
	m->chunked = false;
	m->need_from = false;
	m->foreign = false;
	m->last = '\0';
	m->header_code = NULL;
	buf_reset(&content, BUF_MAX);
	m->mail = (struct model_mail){ .content = content };
}

/* ---- EHLO, HELO ----------------------------------------------------- */

static void
hello(struct model *m, const struct op *op, struct step *st, bool esmtp)
{
	static const char *const args[] = {
		" client.example", " [10.0.0.1]", " client.example ", "",
		" two words",      " caf\xc3\xa9"
	};
	unsigned i = op->a % 12;

	i = i > 5 ? 0 : i;
	buf_addf(&st->bytes, "%s%s\r\n", esmtp ? "EHLO" : "helo", args[i]);
	m->idle++;
	if (i > 2) {
		model_bad(m, st, "501");
		return;
	}
	step_expect(st, "250");
	m->hello = true;
	m->esmtp = esmtp;
	model_end_transaction(m);
}

/* ---- MAIL ----------------------------------------------------------- */

struct mail_row {
	const char *args;
	const char *sender;
	const char *code; /* with EHLO */
	const char *code_helo;
	unsigned ret;
	bool bad; /* the code is one of a bad command, else of an idle one */
	bool foreign;
	bool utf8;
	bool mime8;
	bool require_tls; /* unknown in the clear */
	const char *envid;
};

static const struct mail_row mails[] = {
	{ .args = "FROM:<a@example.com>", .sender = "a@example.com" },
	{ .args = "FROM:<b@example.com>", .sender = "b@example.com" },
	{ .args = "FROM:<>", .sender = "" },
	{ .args = "from: <x@foreign.test>",
	  .sender = "x@foreign.test",
	  .foreign = true },
	{ .args = "FROM:<a@example.com> SIZE=100 BODY=8BITMIME SMTPUTF8",
	  .sender = "a@example.com",
	  .code_helo = "555",
	  .bad = true,
	  .utf8 = true,
	  .mime8 = true },
	{ .args = "FROM:<a@example.com> RET=HDRS ENVID=once+2B1",
	  .sender = "a@example.com",
	  .code_helo = "555",
	  .bad = true,
	  .ret = 2,
	  .envid = "once+2B1" },
	{ .args = "FROM:<c@example.com> BODY=7BIT RET=FULL",
	  .sender = "c@example.com",
	  .code_helo = "555",
	  .bad = true,
	  .ret = 1 },
	{ .args = "FROM:<a@example.com> REQUIRETLS",
	  .sender = "a@example.com",
	  .code_helo = "555",
	  .bad = true,
	  .require_tls = true },
	{ .args = "FROM:<a@example.com> REQUIRETLS=1",
	  .code = "501",
	  .code_helo = "555",
	  .bad = true,
	  .require_tls = true },
	{ .args = "FROM:<a@example.com> SIZE=4097",
	  .code = "552",
	  .code_helo = "555" },
	{ .args = "FROM:<a@example.com> SIZE=99999999999999999999",
	  .code = "552",
	  .code_helo = "555" },
	{ .args = "FROM:<a@example.com> SIZE=4096",
	  .sender = "a@example.com",
	  .code_helo = "555",
	  .bad = true },
	{ .args = "FROM:<a@example.com> BODY=BINARYMIME",
	  .code = "501",
	  .code_helo = "555",
	  .bad = true },
	{ .args = "FROM:<a@example.com> XYZ=1",
	  .code = "555",
	  .code_helo = "555",
	  .bad = true },
	{ .args = "FROM:<a@example.com> SIZE=1 SIZE=1",
	  .code = "501",
	  .code_helo = "555",
	  .bad = true },
	{ .args = "FROM:<a@example.com> \"=",
	  .code = "501",
	  .code_helo = "501",
	  .bad = true },
	{ .args = "FROM:<a@example.com> ENVID=+00",
	  .code = "501",
	  .code_helo = "555",
	  .bad = true },
	{ .args = "FROM:<\xc3\xa9@example.com>",
	  .code = "553",
	  .code_helo = "553",
	  .bad = true },
	{ .args = "FROM:<@>", .code = "501", .code_helo = "501", .bad = true },
	{ .args = "FROM:a b", .code = "501", .code_helo = "501", .bad = true },
	{ .args = "", .code = "501", .code_helo = "501", .bad = true },
	{ .args = "TO:<a@example.com>",
	  .code = "501",
	  .code_helo = "501",
	  .bad = true },
};

#define MAILS (sizeof(mails) / sizeof(mails[0]))

static void
open_transaction(struct model *m, const struct mail_row *r)
{
	m->open = true;
	m->dead = false;
	m->foreign = r->foreign;
	(void)snprintf(m->mail.sender, sizeof(m->mail.sender), "%s", r->sender);
	m->mail.envid = r->envid;
	m->mail.ret = r->ret;
	m->mail.utf8 = r->utf8;
	m->mail.mime8 = r->mime8;
	m->mail.require_tls = r->require_tls;
}

static void
mail(struct model *m, const struct op *op, struct step *st)
{
	/* The plain ones more often. */
	const struct mail_row *r =
		&mails[op->b % 3 == 0 ? op->a % MAILS : op->a % 4];
	const char *code = m->esmtp ? r->code : r->code_helo;

	if (r->require_tls && !m->tls) {
		code = "555";
	}
	buf_addf(&st->bytes, "MAIL %s\r\n", r->args);
	if (!m->hello || m->open) {
		model_bad(m, st, "503");
	} else if (!m->accepting) {
		idle(m, st, "452");
	} else if (code == NULL) {
		step_expect(st, "250");
		open_transaction(m, r);
	} else if (r->bad || !m->esmtp) {
		model_bad(m, st, code);
	} else {
		idle(m, st, code);
		m->dead = false;
	}
}

/* ---- RCPT ----------------------------------------------------------- */

enum rcpt_domain {
	TO_OUTSIDE = 0,
	TO_INTERNAL,
	TO_SEND_ONLY,
};

struct rcpt_row {
	const char *args;
	const char *address; /* NULL: malformed, with the code */
	const char *code;
	const char *code_helo;
	enum rcpt_domain domain;
	bool literal;
	bool routed; /* a % or ! in the local part */
	unsigned notify;
	const char *orcpt;
	const char *same_as; /* another spelling of this address */
};

static const struct rcpt_row rcpts[] = {
	{ .args = "TO:<r0@partner.test>", .address = "r0@partner.test" },
	{ .args = "TO:<r1@partner.test>", .address = "r1@partner.test" },
	{ .args = "TO:<r2@other.test>", .address = "r2@other.test" },
	{ .args = "TO:<i@example.com>",
	  .address = "i@example.com",
	  .domain = TO_INTERNAL },
	{ .args = "TO:<r0@PARTNER.TEST>",
	  .address = "r0@PARTNER.TEST",
	  .same_as = "r0@partner.test" },
	{ .args = "to:<@x.test,@y.test:r3@partner.test>",
	  .address = "r3@partner.test" },
	{ .args = "TO:<n@partner.test> NOTIFY=SUCCESS,DELAY "
	          "ORCPT=rfc822;n+2Bx@old.test",
	  .address = "n@partner.test",
	  .code_helo = "555",
	  .notify = 2 | 8,
	  .orcpt = "rfc822;n+2Bx@old.test" },
	{ .args = "TO:<Postmaster>",
	  .address = "Postmaster@example.com",
	  .domain = TO_INTERNAL },
	{ .args = "TO:<s@example.org>",
	  .address = "s@example.org",
	  .domain = TO_SEND_ONLY },
	{ .args = "TO:<l@[192.0.2.9]>",
	  .address = "l@[192.0.2.9]",
	  .literal = true },
	{ .args = "TO:<u%v@example.com>",
	  .address = "u%v@example.com",
	  .domain = TO_INTERNAL,
	  .routed = true },
	{ .args = "TO:<>", .code = "501", .code_helo = "501" },
	{ .args = "TO:<r0@partner.test", .code = "501", .code_helo = "501" },
	{ .args = "TO:<r0@partner.test>x", .code = "501", .code_helo = "501" },
	{ .args = "TO:<r0@partner.test> NOTIFY=NEVER,DELAY",
	  .code = "501",
	  .code_helo = "555" },
	{ .args = "TO:<r0@partner.test> ORCPT=rfc822;+0D+0A",
	  .code = "501",
	  .code_helo = "555" },
	{ .args = "TO:<r0@partner.test> WHAT",
	  .code = "555",
	  .code_helo = "555" },
	{ .args = "", .code = "501", .code_helo = "501" },
};

#define RCPTS (sizeof(rcpts) / sizeof(rcpts[0]))

/* The refusal of admission, NULL when it takes the recipient. */
static const char *
admission(const struct model *m, const struct rcpt_row *r)
{
	bool null_sender = m->mail.sender[0] == '\0';
	bool ours = !m->foreign && !null_sender;
	bool proven = m->client == MODEL_AUTHORIZED ||
	              (m->client == MODEL_NEEDS_AUTH && m->user);

	if (proven) {
		if (m->foreign && r->domain == TO_OUTSIDE) {
			return "451";
		}
	} else if ((m->client == MODEL_NEEDS_AUTH && ours) ||
	           r->domain == TO_OUTSIDE) {
		return "451";
	} else if (ours) {
		return "550"; /* anti-spoofing */
	}
	return r->domain == TO_SEND_ONLY ? "550" : NULL;
}

static bool
is_inbound(const struct model *m)
{
	bool proven = m->client == MODEL_AUTHORIZED ||
	              (m->client == MODEL_NEEDS_AUTH && m->user);

	return m->foreign || !proven;
}

static void
take_rcpt(struct model *m, const struct rcpt_row *r, struct step *st)
{
	const char *code = admission(m, r);
	const char *name = r->same_as != NULL ? r->same_as : r->address;
	struct model_rcpt *to;

	if (code == NULL && (r->literal || (r->routed && is_inbound(m)))) {
		code = "550";
	}
	if (code != NULL) {
		idle(m, st, code);
		return;
	}
	step_expect(st, "250");
	for (unsigned i = 0; i < m->mail.rcpts_n; i++) {
		if (strcasecmp(m->mail.rcpts[i].address, name) == 0) {
			m->idle++;
			return;
		}
	}
	to = &m->mail.rcpts[m->mail.rcpts_n++];
	(void)snprintf(to->address, sizeof(to->address), "%s", r->address);
	to->orcpt = r->orcpt;
	to->notify = r->notify;
	m->need_from = m->need_from || !is_inbound(m);
}

static void
rcpt(struct model *m, const struct op *op, struct step *st)
{
	const struct rcpt_row *r =
		&rcpts[op->b % 2 == 0 ? op->a % RCPTS : op->a % 4];
	const char *code = m->esmtp ? r->code : r->code_helo;

	buf_addf(&st->bytes, "RCPT %s\r\n", r->args);
	if (!m->hello || !m->open || m->chunked) {
		model_bad(m, st, "503");
	} else if (code != NULL) {
		model_bad(m, st, code);
	} else if (m->mail.rcpts_n == MODEL_RCPTS_MAX) {
		idle(m, st, "452");
	} else {
		take_rcpt(m, r, st);
	}
}

/* ---- the others ----------------------------------------------------- */

static void
rset(struct model *m, const struct op *op, struct step *st)
{
	bool good = op->a % 4 != 0;

	buf_puts(&st->bytes, good ? "RSET\r\n" : "RSET now\r\n");
	m->idle++;
	if (!good) {
		model_bad(m, st, "501");
		return;
	}
	step_expect(st, "250");
	model_end_transaction(m);
}

static void
small(struct model *m, const struct op *op, struct step *st)
{
	static const struct {
		const char *line;
		const char *code;
		bool bad;
		bool idle;
	} rows[] = {
		{ "NOOP", "250", false, true },
		{ "noop any thing", "250", false, true },
		{ "VRFY root", "252", false, true },
		{ "VRFY", "501", true, true },
		{ "EXPN list", "502", true, true },
		{ "ETRN x", "502", true, true },
		{ "HELP", "214", false, true },
		{ "XCLIENT ADDR=10.0.0.1", "500", true, false },
		{ "PROXY TCP4 10.0.0.1 10.0.0.2 1 2", "500", true, false },
		{ "QUIT now", "501", true, false },
	};

	unsigned i = op->a % (sizeof(rows) / sizeof(rows[0]));

	buf_addf(&st->bytes, "%s\r\n", rows[i].line);
	step_expect(st, rows[i].code);
	m->bad += rows[i].bad ? 1 : 0;
	m->idle += rows[i].idle ? 1 : 0;
}

static void
broken(struct model *m, const struct op *op, struct step *st)
{
	static const struct {
		const char *line;
		size_t len;
	} rows[] = {
		{ "NO\0OP", 5 },       { "NOOP\rNOOP", 9 },
		{ "NOOP\nNOOP", 9 },   { "MAIL FROM:<a@example.com>\n.\n", 28 },
		{ "\x1b[31mNOOP", 9 }, { "", 0 },
		{ " NOOP", 5 },        { "\xff\xfe", 2 },
	};

	unsigned n = sizeof(rows) / sizeof(rows[0]);
	unsigned i = op->a % (n + 2);

	if (i < n) {
		buf_add(&st->bytes, rows[i].line, rows[i].len);
		model_bad(m, st, "500");
	} else {
		/* As long as a line may be, and longer. */
		size_t len = i == n ? LINE_MAX_OCTETS : LINE_MAX_OCTETS * 2;

		buf_puts(&st->bytes, "NOOP ");
		for (size_t k = 5; k < len; k++) {
			buf_puts(&st->bytes, "x");
		}
		if (i == n) {
			idle(m, st, "250");
		} else {
			model_bad(m, st, "500");
		}
	}
	buf_puts(&st->bytes, "\r\n");
}

static void
starttls(struct model *m, const struct op *op, struct step *st)
{
	bool joined = op->a % 5 == 0;

	st->flush = true;
	st->barrier = true;
	buf_puts(&st->bytes, "STARTTLS\r\n");
	if (op->a % 7 == 0) {
		buf_consume(&st->bytes, buf_len(&st->bytes));
		buf_puts(&st->bytes, "STARTTLS now\r\n");
		model_bad(m, st, "501");
		return;
	}
	if (m->tls || !m->hello || !m->esmtp) {
		model_bad(m, st, "503");
		return;
	}
	if (joined) {
		/* B05: what stands behind must not be obeyed. */
		buf_puts(&st->bytes, "RSET\r\n");
		st->atomic = true;
		step_expect(st, "554");
		m->closed = true;
		return;
	}
	step_expect(st, "220");
	model_end_transaction(m);
	if (op->a % 5 == 1) {
		st->garbage = true;
		m->closed = true;
		return;
	}
	st->handshake = true;
	m->tls = true;
	m->hello = false;
	m->esmtp = false;
}

struct auth_row {
	const char *first;
	const char *second; /* behind 334; NULL: one line only */
	const char *third;

	enum {
		AUTH_GOOD = 0,
		AUTH_WRONG,
		AUTH_CANCEL,
		AUTH_MALFORMED
	} end;
};

static const struct auth_row auths[] = {
	{ "AUTH PLAIN AHVzZXIAc2VjcmV0", NULL, NULL, AUTH_GOOD },
	{ "AUTH LOGIN", "dXNlcg==", "c2VjcmV0", AUTH_GOOD },
	{ "auth plain", "AHVzZXIAc2VjcmV0", NULL, AUTH_GOOD },
	{ "AUTH PLAIN AHVzZXIAd3Jvbmc=", NULL, NULL, AUTH_WRONG },
	{ "AUTH PLAIN", "*", NULL, AUTH_CANCEL },
	{ "AUTH LOGIN", "dXNlcg==", "*", AUTH_CANCEL },
	{ "AUTH PLAIN A", NULL, NULL, AUTH_MALFORMED },
	{ "AUTH LOGIN", "QUIT NOW", NULL, AUTH_MALFORMED },
	{ "AUTH LOGIN =", NULL, NULL, AUTH_MALFORMED },
	{ "AUTH PLAIN", "RSET\n", NULL, AUTH_MALFORMED },
};

static void
auth_end(struct model *m, const struct auth_row *r, struct step *st)
{
	switch (r->end) {
	case AUTH_GOOD:
		step_expect(st, "235");
		m->user = true;
		break;
	case AUTH_WRONG:
		m->failures++;
		step_expect(st, m->failures >= 3 ? "421" : "535");
		m->closed = m->failures >= 3;
		break;
	case AUTH_CANCEL:
		step_expect(st, "501");
		break;
	case AUTH_MALFORMED:
		model_bad(m, st, "501");
		break;
	}
}

static void
auth(struct model *m, const struct op *op, struct step *st)
{
	const struct auth_row *r =
		&auths[op->a % (sizeof(auths) / sizeof(auths[0]))];
	const char *code = !m->hello ? "503"
	                   : !m->tls ? "538"
	                   : m->user ? "503"
	                   : m->open ? "503"
	                             : NULL;

	st->flush = op->b % 2 == 0;
	if (code != NULL || op->a % 16 == 15) {
		buf_addf(&st->bytes, "%s\r\n",
		         code == NULL ? "AUTH CRAM-MD5" : r->first);
		model_bad(m, st, code == NULL ? "504" : code);
		return;
	}
	buf_addf(&st->bytes, "%s\r\n", r->first);
	if (r->second != NULL) {
		step_expect(st, "334");
		buf_addf(&st->bytes, "%s\r\n", r->second);
	}
	if (r->third != NULL) {
		step_expect(st, "334");
		buf_addf(&st->bytes, "%s\r\n", r->third);
	}
	auth_end(m, r, st);
}

static void
pass_time(struct model *m, const struct op *op, struct step *st)
{
	st->flush = true;
	if (op->a % 8 != 0) {
		buf_puts(&st->bytes, "NOOP\r\n");
		idle(m, st, "250");
		model_line_over(m, st);
		st->pass_ms = m->closed ? 0 : MODEL_COMMAND_MS - 1000;
		return;
	}
	/* An incomplete line earns no time (B18). */
	buf_puts(&st->bytes, op->b % 2 == 0 ? "" : "NOO");
	st->pass_ms = MODEL_COMMAND_MS + 1000;
	st->late_reply = true;
	step_expect(st, "421");
	m->closed = true;
}

static void
set(struct model *m, const struct op *op, struct step *st)
{
	st->flush = true;
	switch (op->a % 4) {
	case 0:
		m->result = op->b % 3 == 0   ? MODEL_FULL
		            : op->b % 3 == 1 ? MODEL_FAILED
		                             : MODEL_OK;
		st->set_result = (int)m->result;
		return;
	case 1:
		m->result = MODEL_OK;
		st->set_result = MODEL_OK;
		m->accepting = true;
		st->set_accepting = 1;
		return;
	case 2:
		m->accepting = op->b % 3 != 0;
		st->set_accepting = m->accepting ? 1 : 0;
		return;
	default:
		m->memory = op->b % 2 == 0;
		st->set_memory = m->memory ? 1 : 0;
		return;
	}
}

static void
quit(struct model *m, const struct op *op, struct step *st)
{
	static const char *const rows[] = {
		"QUIT\r\n",
		/* B11: nothing behind QUIT is a command. */
		"QUIT\r\nNOOP\r\nMAIL FROM:<a@example.com>\r\n",
		/* B13 */
		"GET / HTTP/1.1\r\nHost: x\r\n\r\nNOOP\r\n",
		"\x16\x03\x01\r\n",
	};
	unsigned i = op->a % 4;

	st->atomic = true;
	st->flush = true;
	buf_puts(&st->bytes, rows[i]);
	step_expect(st, i < 2 ? "221" : "421");
	m->closed = true;
}

void
model_apply(struct model *m, const struct op *op, struct step *out_r)
{
	struct step *st = out_r;

	*st = (struct step){ .set_result = -1,
		             .set_accepting = -1,
		             .set_memory = -1 };
	buf_init(&st->bytes, BUF_MAX);
	switch (op->kind) {
	case OP_EHLO:
		hello(m, op, st, true);
		break;
	case OP_HELO:
		hello(m, op, st, false);
		break;
	case OP_MAIL:
		mail(m, op, st);
		break;
	case OP_RCPT:
		rcpt(m, op, st);
		break;
	case OP_DATA:
		model_data(m, op, st);
		return;
	case OP_BDAT:
		model_bdat(m, op, st);
		return;
	case OP_RSET:
		rset(m, op, st);
		break;
	case OP_SMALL:
		small(m, op, st);
		break;
	case OP_BROKEN:
		broken(m, op, st);
		break;
	case OP_STARTTLS:
		starttls(m, op, st);
		break;
	case OP_AUTH:
		auth(m, op, st);
		break;
	case OP_TIME:
		pass_time(m, op, st);
		return;
	case OP_SET:
		set(m, op, st);
		return;
	case OP_HALF:
		model_half(m, op, st);
		return;
	case OP_QUIT:
		quit(m, op, st);
		return;
	}
	model_line_over(m, st);
}
