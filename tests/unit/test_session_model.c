/*
 * Random sessions against the model (common_model.h): every command in every
 * state must get the reply that it deserves there, and the queue exactly the
 * messages that were accepted, whatever the boundaries of reads. What is left
 * over of a rejected transaction would show here (checklist B04, B11, B12).
 *
 * SORTIE_MODEL_SEED and SORTIE_MODEL_SEQUENCES choose where the sequences
 * begin and how many there are. One that fails is made as short as it can be,
 * then printed as a dialogue, with its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/envelope.h"
#include "tests/unit/common_model.h"
#include "tests/unit/common_model_stage.h"
#include "tests/unit/common_queue.h"

#define SEQUENCES    2000
#define OPS_MAX      64
#define EXPECT_MAX   512
#define REASON_MAX   300
#define PENDING_MAX  (1U << 20)
#define SHOWN_MAX    300 /* octets of one piece in the dialogue */
#define SINGLE_MAX   400 /* octets sent one by one at most */
#define REPLY_OCTETS 512

struct run {
	struct model model;
	uint64_t random;
	struct buf pending; /* to be sent with the next flush */
	bool atomic;
	const char *expected[EXPECT_MAX];
	unsigned expected_n;
	bool talk; /* the dialogue goes to standard error */
	bool failed;
	char reason[REASON_MAX];
};

/* ---- random numbers (SplitMix64) ------------------------------------ */

static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static unsigned
below(uint64_t *state, unsigned n)
{
	return (unsigned)(next_random(state) % n);
}

/* ---- the dialogue --------------------------------------------------- */

static void
show(const struct run *r, const char *who, const char *data, size_t len)
{
	if (!r->talk) {
		return;
	}
	(void)fprintf(stderr, "%s ", who);
	for (size_t i = 0; i < len && i < SHOWN_MAX; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '\r') {
			(void)fputs("\\r", stderr);
		} else if (c == '\n') {
			(void)fputs("\\n", stderr);
		} else if (c >= 0x20 && c < 0x7f) {
			(void)fputc(c, stderr);
		} else {
			(void)fprintf(stderr, "\\x%02x", c);
		}
	}
	(void)fprintf(stderr, "%s\n", len > SHOWN_MAX ? "..." : "");
}

static void fail_run(struct run *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void
fail_run(struct run *r, const char *fmt, ...)
{
	va_list ap;

	if (r->failed) {
		return;
	}
	r->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
	va_end(ap);
	if (r->talk) {
		(void)fprintf(stderr, "!! %s\n", r->reason);
	}
}

/* ---- replies -------------------------------------------------------- */

/* Octets of the first whole reply, 0: there is none. Every line must be one
 * by RFC 5321 section 4.2 and not too long. */
static size_t
take_reply(struct run *r, const char *data, size_t len)
{
	size_t at = 0;

	for (;;) {
		const char *lf = memchr(data + at, '\n', len - at);
		size_t n;

		if (lf == NULL) {
			return 0;
		}
		n = (size_t)(lf - data) + 1 - at;
		if (n > REPLY_OCTETS || n < 6 || lf[-1] != '\r' ||
		    memcmp(data, data + at, 3) != 0 ||
		    (data[at + 3] != ' ' && data[at + 3] != '-')) {
			fail_run(r, "a malformed reply line");
			return 0;
		}
		at += n;
		if (data[at - n + 3] == ' ') {
			return at;
		}
	}
}

/* RFC 2034: an enhanced code of the same class, but not on 3yz, the greeting
 * and the answers to EHLO and HELO, which begin with a name. */
static void
check_enhanced(struct run *r, const char *reply)
{
	bool has = reply[4] >= '2' && reply[4] <= '5' && reply[5] == '.';

	if (memcmp(reply + 4, "gw1.", 4) == 0 || reply[0] == '3') {
		return;
	}
	if (!has || reply[4] != reply[0]) {
		fail_run(r, "no enhanced code of the reply's class");
	}
}

static bool
is_among(const char *code, const char *codes)
{
	for (const char *p = codes; *p != '\0'; p += p[3] == ',' ? 4 : 3) {
		if (memcmp(code, p, 3) == 0) {
			return true;
		}
	}
	return false;
}

static void
check_replies(struct run *r, unsigned n)
{
	for (unsigned i = 0; i < n && !r->failed; i++) {
		size_t len;
		const char *data = stage_output(&len);
		size_t used = take_reply(r, data, len);

		if (used == 0) {
			fail_run(r, "no reply where %s was due",
			         r->expected[i]);
			return;
		}
		show(r, "S:", data, used);
		check_enhanced(r, data);
		if (!is_among(data, r->expected[i])) {
			fail_run(r, "%.3s where %s was due", data,
			         r->expected[i]);
		}
		stage_consume(used);
	}
	memmove(r->expected, r->expected + n,
	        (r->expected_n - n) * sizeof(r->expected[0]));
	r->expected_n -= n;
}

/* ---- what the queue was given --------------------------------------- */

static void
check_flags(struct run *r, const struct model_mail *want,
            const struct stage_mail *got)
{
	bool full = (got->flags & ENVELOPE_RET_FULL) != 0;
	bool hdrs = (got->flags & ENVELOPE_RET_HDRS) != 0;

	if (((got->flags & ENVELOPE_SMTPUTF8) != 0) != want->utf8 ||
	    ((got->flags & ENVELOPE_8BITMIME) != 0) != want->mime8 ||
	    ((got->flags & ENVELOPE_REQUIRETLS) != 0) != want->require_tls ||
	    full != (want->ret == 1) || hdrs != (want->ret == 2) ||
	    strcmp(got->envid, want->envid == NULL ? "" : want->envid) != 0) {
		fail_run(r, "parameters of another MAIL");
	}
}

static void
check_recipients(struct run *r, const struct model_mail *want,
                 const struct stage_mail *got)
{
	if (got->rcpts_n != want->rcpts_n) {
		fail_run(r, "%u recipients where %u were accepted",
		         got->rcpts_n, want->rcpts_n);
		return;
	}
	for (unsigned i = 0; i < want->rcpts_n; i++) {
		const struct model_rcpt *w = &want->rcpts[i];

		if (strcmp(got->rcpts[i], w->address) != 0 ||
		    got->notify[i] != w->notify ||
		    strcmp(got->orcpt[i], w->orcpt == NULL ? "" : w->orcpt) !=
		            0) {
			fail_run(r, "recipient %s where %s was due",
			         got->rcpts[i], w->address);
		}
	}
}

static void
check_mail(struct run *r)
{
	struct model_mail *want = &r->model.accepted;
	const struct stage_mail *got = stage_mail();
	size_t len = buf_len(&want->content);
	const char *end;

	if (stage_submissions() != r->model.mails) {
		fail_run(r, "%u messages where %u were accepted",
		         stage_submissions(), r->model.mails);
		return;
	}
	if (r->model.mails == 0) {
		return;
	}
	if (strcmp(got->sender, want->sender) != 0) {
		fail_run(r, "sender %s where %s was due", got->sender,
		         want->sender);
	}
	check_flags(r, want, got);
	check_recipients(r, want, got);
	if (got->len < len || memcmp(got->content + got->len - len,
	                             buf_ptr(&want->content), len) != 0) {
		fail_run(r, "another content");
		return;
	}
	/* Before it stands one Received field, nothing else. */
	end = strstr(got->content, "\r\n");
	while (end != NULL && end[2] == '\t') {
		end = strstr(end + 2, "\r\n");
	}
	if (memcmp(got->content, "Received: ", 10) != 0 || end == NULL ||
	    (size_t)(end + 2 - got->content) != got->len - len) {
		fail_run(r, "something stands before the content");
	}
}

/* ---- sending -------------------------------------------------------- */

static void
send_piece(struct run *r, const char *data, size_t len)
{
	show(r, "C:", data, len);
	stage_send(data, len);
	stage_settle();
}

/* All that is pending, cut at random, or into octets. */
static void
send_pending(struct run *r)
{
	struct buf *p = &r->pending;
	unsigned how = below(&r->random, 4);

	while (buf_len(p) > 0) {
		size_t n = buf_len(p);

		if (!r->atomic && how == 0 && n < SINGLE_MAX) {
			n = 1;
		} else if (!r->atomic && how < 3) {
			n = 1 + below(&r->random, (unsigned)n);
		}
		send_piece(r, buf_ptr(p), n);
		buf_consume(p, n);
	}
	stage_settle();
}

/* Sends, takes the replies that are due, all but the last keep. */
static void
flush(struct run *r, unsigned keep)
{
	size_t len;

	send_pending(r);
	check_replies(r, r->expected_n - keep);
	(void)stage_output(&len);
	if (len > 0) {
		show(r, "S:", stage_output(&len), len);
		fail_run(r, "a reply that nothing asked for");
	}
	r->atomic = false;
}

static void
add(struct run *r, const struct step *st, size_t from, size_t to)
{
	if (to > from) {
		buf_add(&r->pending, buf_ptr(&st->bytes) + from, to - from);
	}
}

static void
expect(struct run *r, const struct step *st, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to && r->expected_n < EXPECT_MAX; i++) {
		r->expected[r->expected_n++] = st->replies[i];
	}
}

static void
apply_settings(const struct step *st)
{
	static const enum queue_result results[] = { QUEUE_OK, QUEUE_FULL,
		                                     QUEUE_FAILED };

	if (st->set_result != -1) {
		queue_double_set_result(results[st->set_result]);
	}
	if (st->set_accepting != -1) {
		queue_double_set_accepting(st->set_accepting == 1);
	}
	if (st->set_memory != -1) {
		queue_double_set_memory(st->set_memory == 1);
	}
}

/* What comes behind the octets of a step. */
static void
end_step(struct run *r, const struct step *st)
{
	size_t len;

	if (st->handshake && !stage_start_tls()) {
		fail_run(r, "the TLS handshake failed");
	}
	if (st->garbage) {
		send_piece(r, "NOOP\r\nRSET\r\n", 12);
		(void)stage_output(&len);
		stage_consume(len); /* an alert */
	}
	if (st->half_close) {
		show(r, "C:", "(ends its side)", 15);
		stage_half_close();
		stage_settle();
	}
	if (st->pass_ms > 0) {
		stage_advance(st->pass_ms);
	}
}

static void
run_step(struct run *r, const struct step *st)
{
	unsigned late = st->late_reply ? 1 : 0;
	unsigned first = st->cut > 0 ? 1 : 0;
	bool settle = st->barrier || st->atomic || st->half_close ||
	              st->pass_ms > 0 || r->model.closed;

	if (st->flush || r->expected_n > EXPECT_MAX / 2) {
		flush(r, 0);
	}
	apply_settings(st);
	r->atomic = st->atomic;
	if (st->cut > 0) { /* the client waits for 354 */
		add(r, st, 0, st->cut);
		expect(r, st, 0, first);
		flush(r, 0);
	}
	add(r, st, st->cut, buf_len(&st->bytes));
	expect(r, st, first, st->replies_n);
	if (!settle && below(&r->random, 3) > 0) {
		return; /* pipelined: more may follow in the same write */
	}
	flush(r, late);
	end_step(r, st);
	if (late > 0) {
		flush(r, 0);
	}
	check_mail(r);
}

/* ---- a sequence ----------------------------------------------------- */

static void
open_session(struct run *r, uint64_t *random)
{
	static const char *const networks[] = { "10", "172.20", "203.0" };
	static unsigned counter; /* so that no client is known from before */
	unsigned kind = below(random, 10);
	enum model_client client = kind < 6   ? MODEL_AUTHORIZED
	                           : kind < 8 ? MODEL_NEEDS_AUTH
	                                      : MODEL_STRANGER;
	bool tls = client == MODEL_NEEDS_AUTH && kind == 6;
	char address[40];

	counter++;
	(void)snprintf(address, sizeof(address),
	               client == MODEL_AUTHORIZED ? "%s.%u.%u.%u" : "%s.%u.%u",
	               networks[client], counter >> 8 & 0xff, counter & 0xff,
	               1 + (counter >> 16 & 0x7f));
	model_init(&r->model, client, tls);
	queue_double_reset();
	stage_open(address, tls);
	if (tls && !stage_start_tls()) {
		fail_run(r, "the TLS handshake failed");
	}
	stage_settle();
	r->expected[r->expected_n++] = "220";
	flush(r, 0);
}

static bool
run_ops(const struct op *ops, size_t n, uint64_t seed, bool talk,
        char reason_r[REASON_MAX])
{
	struct run *r = calloc(1, sizeof(*r));
	uint64_t random = seed;
	bool good;

	assert_non_null(r);
	r->talk = talk;
	r->random = seed ^ 0x5eed;
	buf_init(&r->pending, PENDING_MAX);
	open_session(r, &random);
	for (size_t i = 0; i < n && !r->failed && !r->model.closed; i++) {
		struct step st;

		model_apply(&r->model, &ops[i], &st);
		run_step(r, &st);
		step_clear(&st);
	}
	flush(r, 0);
	check_mail(r);
	if (r->model.closed != stage_closed()) {
		fail_run(r, r->model.closed ? "the session lives on"
		                            : "the session has ended");
	}
	stage_close();
	model_clear(&r->model);
	buf_clear(&r->pending);
	good = !r->failed;
	memcpy(reason_r, r->reason, REASON_MAX);
	free(r);
	return good;
}

/* How often each kind comes, of a hundred. */
static const unsigned weights[OP_KINDS] = {
	[OP_EHLO] = 7,   [OP_HELO] = 1,     [OP_MAIL] = 20, [OP_RCPT] = 23,
	[OP_DATA] = 14,  [OP_BDAT] = 14,    [OP_RSET] = 3,  [OP_SMALL] = 3,
	[OP_BROKEN] = 1, [OP_STARTTLS] = 2, [OP_AUTH] = 3,  [OP_TIME] = 1,
	[OP_SET] = 6,    [OP_HALF] = 1,     [OP_QUIT] = 1,
};

static size_t
make_ops(uint64_t seed, struct op ops[OPS_MAX])
{
	uint64_t random = seed * 31 + 7;
	size_t n = 6 + below(&random, OPS_MAX - 6);

	for (size_t i = 0; i < n; i++) {
		unsigned at = below(&random, 100);
		unsigned kind = 0;

		while (kind < OP_KINDS - 1 && at >= weights[kind]) {
			at -= weights[kind++];
		}
		ops[i].kind = (enum op_kind)kind;
		ops[i].a = below(&random, 100000);
		ops[i].b = below(&random, 100000);
		ops[i].c = below(&random, 100000);
	}
	if (below(&random, 8) > 0) {
		ops[0] = (struct op){ .kind = OP_EHLO, .a = 0 };
	}
	return n;
}

/* Leaves out what the failure does not need. */
static size_t
shrink(struct op ops[OPS_MAX], size_t n, uint64_t seed)
{
	char reason[REASON_MAX];

	for (size_t span = n / 2; span > 0; span /= 2) {
		for (size_t at = 0; at + span <= n;) {
			struct op fewer[OPS_MAX];

			memcpy(fewer, ops, at * sizeof(*ops));
			memcpy(fewer + at, ops + at + span,
			       (n - at - span) * sizeof(*ops));
			if (run_ops(fewer, n - span, seed, false, reason)) {
				at++;
				continue;
			}
			n -= span;
			memcpy(ops, fewer, n * sizeof(*ops));
		}
	}
	return n;
}

static uint64_t
number_of(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text == NULL ? fallback : strtoull(text, NULL, 10);
}

/* B04, B11, B12, C02-C05, C43, C44, C46, C49: see above. */
static void
test_random_sessions(void **state)
{
	uint64_t first = number_of("SORTIE_MODEL_SEED", 1);
	uint64_t n = number_of("SORTIE_MODEL_SEQUENCES", SEQUENCES);
	char reason[REASON_MAX];

	(void)state; /* cmocka's type */
	for (uint64_t i = 0; i < n; i++) {
		uint64_t seed = first + i;
		struct op ops[OPS_MAX] = { 0 };
		size_t ops_n = make_ops(seed, ops);

		if (run_ops(ops, ops_n, seed, false, reason)) {
			continue;
		}
		ops_n = shrink(ops, ops_n, seed);
		(void)run_ops(ops, ops_n, seed, true, reason);
		fail_msg("SORTIE_MODEL_SEED=%llu SORTIE_MODEL_SEQUENCES=1: %s",
		         (unsigned long long)seed, reason);
	}
}

static int
set_up(void **state)
{
	(void)state; /* cmocka's type */
	stage_start(MODEL_SETTINGS);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_sessions),
	};

	return cmocka_run_group_tests(tests, set_up, stage_tear_down);
}
