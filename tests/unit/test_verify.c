/*
 * Verification of one message in virtual time, before a resolver and a DKIM
 * library that the test plays: what is asked and how much, what the worker is
 * fed, bounds of time, and that it ends well whenever it is stopped
 * (checklist B33, B52; RFC 9989 section 11.5).
 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/net/dns_packet.h"
#include "daemon/net/reactor.h"
#include "daemon/net/resolver.h"
#include "daemon/receive/verify.h"
#include "store/envelope.h"
#include "store/store.h"
#include "tests/unit/common_model_clock.h"
#include "tests/unit/common_model_turn.h"
#include "tests/unit/common_store.h"

#define QUERIES_MAX 64
#define TRACE       "Received: from x\r\n\tby gw1.example.net; now\r\n"

/* ---- the resolver --------------------------------------------------- */

struct record {
	const char *name;
	const char *text; /* NULL: SERVFAIL; "": silence */
};

/* What is not here is NXDOMAIN. */
static const struct record zone[] = {
	{ "pass.test", "v=spf1 ip4:192.0.2.1 -all" },
	{ "fail.test", "v=spf1 -all" },
	{ "soft.test", "v=spf1 ~all" },
	{ "servfail.test", NULL },
	{ "silent.test", "" },
	{ "_dmarc.silent.test", "" },
	{ "slow.test", "v=spf1 include:silent.test -all" },
	/* As many questions as a record can ask for. */
	{ "endless.test",
	  "v=spf1 mx:m1.test mx:m2.test mx:m3.test mx:m4.test mx:m5.test "
	  "mx:m6.test mx:m7.test mx:m8.test mx:m9.test -all" },
	{ "victim.test", "v=spf1 ip4:192.0.2.77 -all" },
	{ "_dmarc.victim.test", "v=DMARC1; p=reject" },
	{ "_dmarc.mild.test", "v=DMARC1; p=none" },
	{ "_dmarc.middle.test", "v=DMARC1; p=quarantine" },
	{ "_dmarc.pass.test", "v=DMARC1; p=reject" },
	{ "_dmarc.lost.test", "" },
	{ "_dmarc.evil.test", "v=DMARC1; p=none" },
	{ "sub.pass.test", "v=spf1 ip4:192.0.2.1 -all" },
	{ "k._domainkey.pass.test", "key" },
	{ "k._domainkey.sub.pass.test", "key" },
	{ "k._domainkey.victim.test", "key" },
	{ "lost._domainkey.victim.test", "" },
	{ "lost._domainkey.silent.test", "" },
};

struct dns_query {
	struct dns_query *next;
	struct task task;
	char name[300];
	enum dns_type type;
	dns_cb on_answer; /* NULL: cancelled */
	void *arg;
	bool silent;
};

static struct reactor *reactor;
static unsigned asked;
static unsigned open_queries;

struct reactor *
resolver_reactor(const struct resolver *r)
{
	(void)r; /* there is none */
	return reactor;
}

static void
answer_mx(const struct dns_query *q, struct dns_answer *a,
          struct dns_record records[10])
{
	memset(records, 0, 10 * sizeof(records[0]));
	for (int i = 0; i < 10; i++) {
		(void)snprintf(records[i].name, sizeof(records[i].name),
		               "h%d.%.200s", i, q->name);
	}
	*a = (struct dns_answer){ .records = records, .records_n = 10 };
}

static void
run_query(struct task *t)
{
	struct dns_query *q =
		(struct dns_query *)((char *)t -
	                             offsetof(struct dns_query, task));
	struct dns_record records[10] = { { 0 } };
	struct dns_answer a;

	if (q->on_answer == NULL) {
		free(q);
		return;
	}
	open_queries--;
	dns_answer_fail(&a, DNS_NXDOMAIN, q->name, q->type, NULL);
	if (q->type == DNS_MX && q->name[0] == 'm') {
		answer_mx(q, &a, records);
	}
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (q->type != DNS_TXT || strcmp(zone[i].name, q->name) != 0) {
			continue;
		}
		if (zone[i].text == NULL) {
			dns_answer_fail(&a, DNS_SERVFAIL, q->name, q->type,
			                NULL);
			break;
		}
		records[0].data = (const uint8_t *)zone[i].text;
		records[0].data_len = strlen(zone[i].text);
		a = (struct dns_answer){ .records = records, .records_n = 1 };
	}
	q->on_answer(q->arg, &a);
	free(q);
}

struct dns_query *
resolver_query(struct resolver *r, const char *name, enum dns_type type,
               dns_cb on_answer, void *arg)
{
	struct dns_query *q = mem_alloc(sizeof(*q));

	(void)r; /* there is none */
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	q->type = type;
	q->on_answer = on_answer;
	q->arg = arg;
	q->task.run = run_query;
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		q->silent |= strcmp(zone[i].name, name) == 0 &&
		             zone[i].text != NULL && zone[i].text[0] == '\0';
	}
	asked++;
	open_queries++;
	if (!q->silent) {
		reactor_defer(reactor, &q->task);
	}
	return q;
}

void
dns_query_cancel(struct dns_query **qp)
{
	struct dns_query *q = *qp;

	if (q == NULL) {
		return;
	}
	*qp = NULL;
	open_queries--;
	q->on_answer = NULL;
	if (q->silent) {
		free(q);
	}
}

/* For the shared model's world of peers, which is not used here. */
struct resolver *
resolver_new(struct reactor *r, const struct conf *c, struct err *e)
{
	fail_msg("%p %p %p", (void *)r, (const void *)c, (void *)e);
	return NULL;
}

void
resolver_free(struct resolver **r)
{
	*r = NULL;
}

/* ---- the DKIM library ----------------------------------------------- */

/* A signature is a field whose value is the name of its key; it passes when
 * the key is there. */
static struct {
	atomic_uint made;
	atomic_uint waiting; /* for the gate */
	atomic_bool gated;
	sem_t gate;
	struct buf fed; /* of the last one: header, body */
} dkim_world;

struct dkim_verification {
	const struct dns_source *keys;
	char names[DKIM_VERIFY_MAX][256];
	size_t names_n;
};

size_t
dkim_verify_names(const char *header, size_t len,
                  char names[DKIM_VERIFY_MAX][256])
{
	static const char field[] = "DKIM-Signature: ";
	size_t n = 0;

	for (size_t i = 0; i + sizeof(field) < len && n < DKIM_VERIFY_MAX;
	     i++) {
		const char *p = header + i;

		if (memcmp(p, field, sizeof(field) - 1) == 0) {
			p += sizeof(field) - 1;
			(void)snprintf(names[n++], 256, "%.*s",
			               (int)strcspn(p, "\r"), p);
		}
	}
	return n;
}

struct dkim_verification *
dkim_verify_new(const struct dns_source *keys)
{
	struct dkim_verification *v = mem_alloc(sizeof(*v));

	v->keys = keys;
	atomic_fetch_add(&dkim_world.made, 1);
	buf_reset(&dkim_world.fed, SIZE_MAX);
	return v;
}

void
dkim_verify_header(struct dkim_verification *v, const char *header, size_t len)
{
	v->names_n = dkim_verify_names(header, len, v->names);
	buf_add(&dkim_world.fed, header, len);
}

void
dkim_verify_body(struct dkim_verification *v, const char *data, size_t len)
{
	(void)v; /* there is one at a time */
	if (atomic_load(&dkim_world.gated)) {
		atomic_fetch_add(&dkim_world.waiting, 1);
		(void)sem_wait(&dkim_world.gate);
	}
	buf_add(&dkim_world.fed, data, len);
}

size_t
dkim_verify_end(struct dkim_verification *v,
                struct dkim_verdict verdicts[DKIM_VERIFY_MAX])
{
	for (size_t i = 0; i < v->names_n; i++) {
		const struct dns_answer *a =
			v->keys->ask(v->keys->arg, v->names[i], DNS_TXT);
		struct dkim_verdict *d = &verdicts[i];

		assert_non_null(a);
		*d = (struct dkim_verdict){ .result = DKIM_RESULT_PERMERROR };
		if (a->status == DNS_OK) {
			d->result = DKIM_RESULT_PASS;
		} else if (a->status == DNS_TIMEOUT) {
			d->result = DKIM_RESULT_TEMPERROR;
		}
		(void)snprintf(d->domain, sizeof(d->domain), "%.200s",
		               strstr(v->names[i], "._domainkey.") + 12);
	}
	return v->names_n;
}

void
dkim_verify_free(struct dkim_verification **v)
{
	free(*v);
	*v = NULL;
}

const char *
dkim_result_word(enum dkim_result r)
{
	(void)r; /* for policy/auth_results.c, which nothing here looks at */
	return "?";
}

/* ---- a message ------------------------------------------------------ */

static struct {
	char *dir;
	struct store *store;
	struct workers *workers;
	struct envelope *env;
	struct verify *verify;
	bool started;
	unsigned done;
	struct auth_facts facts;
	char from[256];
	bool drops_content; /* as soon as it is told */
	bool loses_content; /* what is stored is nowhere */
} world;

static void
on_done(void *arg, const struct auth_facts *facts)
{
	assert_ptr_equal(arg, &world);
	assert_true(world.started);
	world.verify = NULL;
	world.done++;
	world.facts = *facts;
	assert_non_null(facts->sender);
	assert_non_null(facts->helo);
	(void)snprintf(world.from, sizeof(world.from), "%s",
	               facts->from == NULL ? "-" : facts->from);
	if (world.drops_content) {
		memset(world.env->hot, 'Z', world.env->hot_len);
		envelope_drop_hot(world.env);
	}
}

static void
begin(const char *sender, const char *header, const char *body, bool stored)
{
	static const struct net_addr client = { AF_INET, { 192, 0, 2, 1 } };
	struct verify_options o = { .reactor = reactor,
		                    .workers = world.workers,
		                    .store = world.store };
	char *content = mem_printf("%s%s\r\n%s", TRACE, header, body);
	char *copy = mem_printf("%s\r\n", header);
	struct verify_message m = { .client = &client,
		                    .helo = "client.test",
		                    .header = copy,
		                    .header_len = strlen(copy),
		                    .body_at = strlen(TRACE) + strlen(copy) };
	struct store_stream *st = NULL;
	struct err e = { 0 };

	world.env = envelope_new(77);
	world.env->sender = arena_strdup(world.env->arena, sender);
	world.env->content.len = strlen(content);
	if (stored) {
		assert_int_equal(store_stream_open(world.store, 77, &st, &e),
		                 0);
		assert_int_equal(
			store_stream_append(st, content, strlen(content), &e),
			0);
		assert_int_equal(
			store_stream_finish(&st, &world.env->content, &e), 0);
		free(content);
	} else {
		world.env->hot = content;
		world.env->hot_len = strlen(content);
	}
	world.env->content.segment += world.loses_content ? 1000 : 0;
	m.env = world.env;
	world.done = 0;
	world.started = false;
	asked = 0;
	world.verify = verify_start(&o, &m, on_done, &world);
	assert_int_equal(world.done, 0);
	world.started = true;
	free(copy);
}

static void
end(void)
{
	verify_cancel(&world.verify);
	verify_cancel(&world.verify); /* nothing left: no harm */
	if (world.env->hot == NULL && world.env->content.segment != 0) {
		store_discard(world.store, &world.env->content);
	}
	envelope_unref(&world.env);
	reactor_turn(reactor);
	assert_int_equal(open_queries, 0);
}

/* Without any time that passes. */
static void
wait_done(void)
{
	unsigned waited = 0;

	while (world.done == 0) {
		reactor_turn(reactor);
		turn_wait(&waited);
	}
	assert_int_equal(world.done, 1);
}

static void
check(const char *sender, const char *header)
{
	begin(sender, header, "Hello.\r\n", false);
	wait_done();
	end();
}

static bool
is_waiting(void)
{
	return atomic_load(&dkim_world.waiting) > 0;
}

static void
wait_gated(void)
{
	unsigned waited = 0;

	while (!is_waiting()) {
		reactor_turn(reactor);
		turn_wait(&waited);
	}
}

static void
open_gate(void)
{
	atomic_store(&dkim_world.gated, false);
	(void)sem_post(&dkim_world.gate);
}

static int
set_up(void **state)
{
	struct err e = { 0 };

	(void)state; /* cmocka's type */
	log_setup(LOG_LEVEL_ERROR, false);
	memset(&world, 0, sizeof(world));
	memset(&dkim_world, 0, sizeof(dkim_world));
	buf_init(&dkim_world.fed, 16U << 20);
	(void)sem_init(&dkim_world.gate, 0, 0);
	open_queries = 0;
	world.dir = scratch_new(NULL);
	world.store = scratch_open(world.dir);
	world.workers = workers_new(1, "test");
	reactor = reactor_new(0, &e);
	assert_non_null(reactor);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state; /* cmocka's type */
	workers_free(&world.workers);
	reactor_free(&reactor);
	store_close(&world.store);
	scratch_free(&world.dir);
	buf_clear(&dkim_world.fed);
	(void)sem_destroy(&dkim_world.gate);
	return 0;
}

/* ---- tests ---------------------------------------------------------- */

#define FROM(a)   "From: " a "\r\nSubject: s\r\n"
#define SIGNED(k) "DKIM-Signature: " k "\r\n"

static void
results(void **state)
{
	static const struct {
		const char *sender;
		const char *header;
		enum spf_result spf;
		const char *dkim; /* a letter each: p, t, P */
		enum dmarc_result dmarc;
		const char *from;
	} cases[] = {
		{ "a@pass.test", FROM("a@pass.test"), SPF_PASS, "", DMARC_PASS,
		  "pass.test" },
		{ "a@fail.test", FROM("a@fail.test"), SPF_FAIL, "", DMARC_NONE,
		  "fail.test" },
		{ "a@pass.test", FROM("a@victim.test"), SPF_PASS, "",
		  DMARC_FAIL, "victim.test" },
		{ "a@soft.test",
		  SIGNED("k._domainkey.victim.test") FROM("a@victim.test"),
		  SPF_SOFTFAIL, "p", DMARC_PASS, "victim.test" },
		{ "a@soft.test",
		  SIGNED("x._domainkey.victim.test") SIGNED(
			  "k._domainkey.pass.test") FROM("a@victim.test"),
		  SPF_SOFTFAIL, "Pp", DMARC_FAIL, "victim.test" },
		/* Relaxed alignment, with questions of its own. */
		{ "a@sub.pass.test", FROM("a@pass.test"), SPF_PASS, "",
		  DMARC_PASS, "pass.test" },
		{ "a@fail.test",
		  SIGNED("k._domainkey.sub.pass.test") FROM("a@pass.test"),
		  SPF_FAIL, "p", DMARC_PASS, "pass.test" },
		{ "a@servfail.test", FROM("a@none.test"), SPF_TEMPERROR, "",
		  DMARC_NONE, "none.test" },
		{ "", FROM("a@none.test"), SPF_NONE, "", DMARC_NONE,
		  "none.test" },
		{ "a@fail.test", "Subject: nobody\r\n", SPF_FAIL, "",
		  DMARC_NONE, "-" },
		{ "a@[192.0.2.1]", FROM("a@[192.0.2.1]"), SPF_NONE, "",
		  DMARC_NONE, "-" },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].dkim);

		check(cases[i].sender, cases[i].header);
		if (world.facts.spf.result != cases[i].spf ||
		    world.facts.dkim_n != n ||
		    world.facts.dmarc.result != cases[i].dmarc ||
		    strcmp(world.from, cases[i].from) != 0) {
			fail_msg("case %zu: spf %d, dkim %zu, dmarc %d of %s",
			         i, (int)world.facts.spf.result,
			         world.facts.dkim_n,
			         (int)world.facts.dmarc.result, world.from);
		}
		for (size_t k = 0; k < n; k++) {
			assert_int_equal(world.facts.dkim[k].result,
			                 cases[i].dkim[k] == 'p'
			                         ? DKIM_RESULT_PASS
			                         : DKIM_RESULT_PERMERROR);
		}
	}
}

/* The worker gets what the client sent, and only when there is a signature. */
static void
what_is_fed(void **state)
{
	static const char header[] =
		SIGNED("k._domainkey.pass.test") FROM("a@pass.test") "\r\n";
	size_t len = 300000;
	char *body = mem_alloc(len + 1);

	(void)state; /* cmocka's type */
	check("a@pass.test", FROM("a@pass.test"));
	assert_int_equal(atomic_load(&dkim_world.made), 0);

	for (size_t i = 0; i < len; i++) {
		body[i] = (char)('!' + i % 91);
	}
	for (int stored = 0; stored < 2; stored++) {
		for (int empty = 0; empty < 2; empty++) {
			size_t n = empty != 0 ? 0 : len;

			begin("a@pass.test",
			      SIGNED("k._domainkey.pass.test")
			              FROM("a@pass.test"),
			      empty != 0 ? "" : body, stored != 0);
			wait_done();
			end();
			assert_int_equal(world.facts.dkim[0].result,
			                 DKIM_RESULT_PASS);
			assert_int_equal(buf_len(&dkim_world.fed),
			                 sizeof(header) - 1 + n);
			assert_memory_equal(buf_ptr(&dkim_world.fed), header,
			                    sizeof(header) - 1);
			assert_memory_equal(buf_ptr(&dkim_world.fed) +
			                            sizeof(header) - 1,
			                    body, n);
		}
	}
	free(body);
}

/* Neither an endless record of the sender nor a silent one keeps the author's
 * policy from being found; questions are counted. */
static void
a_sender_cannot_use_up_the_questions(void **state)
{
	static const char header[] = SIGNED("a._domainkey.x.y.z.u.v.w.s1.test")
		SIGNED("b._domainkey.x.y.z.u.v.w.s2.test") SIGNED(
			"c._domainkey.x.y.z.u.v.w.s3.test")
			SIGNED("d._domainkey.x.y.z.u.v.w.s4.test") SIGNED(
				"e._domainkey.x.y.z.u.v.w.s5.test")
				SIGNED("f._domainkey.x.y.z.u.v.w.s6.test") SIGNED(
					"g._domainkey.x.y.z.u.v.w.s7.test")
					SIGNED("lost._domainkey.silent.test")
						FROM("a@victim.test");

	(void)state; /* cmocka's type */
	begin("a@endless.test", header, "Hello.\r\n", false);
	turn_pass(reactor, 17000, NULL);
	wait_done();
	assert_int_equal(world.facts.spf.result, SPF_TEMPERROR);
	assert_int_equal(world.facts.dmarc.result, DMARC_FAIL);
	assert_int_equal(world.facts.dmarc.requested, DMARC_POLICY_REJECT);
	assert_true(asked <= 40);
	end();

	begin("a@slow.test", FROM("a@victim.test"), "Hello.\r\n", false);
	turn_pass(reactor, 17000, NULL);
	wait_done();
	assert_int_equal(world.facts.spf.result, SPF_TEMPERROR);
	assert_int_equal(world.facts.dmarc.result, DMARC_FAIL);
	end();
}

/* What DNS did not say is not failed: of an aligned signature, of the
 * author's own domain. */
static void
silence_is_temperror(void **state)
{
	(void)state; /* cmocka's type */
	begin("a@silent.test",
	      SIGNED("lost._domainkey.silent.test") FROM("a@silent.test"),
	      "Hello.\r\n", false);
	turn_pass(reactor, 10000, NULL);
	assert_int_equal(world.done, 0);
	turn_pass(reactor, 7000, NULL);
	wait_done();
	assert_int_equal(world.facts.spf.result, SPF_TEMPERROR);
	assert_int_equal(world.facts.dkim_n, 1);
	assert_int_equal(world.facts.dkim[0].result, DKIM_RESULT_TEMPERROR);
	assert_int_equal(world.facts.dmarc.result, DMARC_TEMPERROR);
	end();

	begin("a@fail.test",
	      SIGNED("lost._domainkey.victim.test") FROM("a@victim.test"),
	      "Hello.\r\n", false);
	turn_pass(reactor, 17000, NULL);
	wait_done();
	assert_int_equal(world.facts.spf.result, SPF_FAIL);
	assert_int_equal(world.facts.dmarc.result, DMARC_TEMPERROR);
	end();
}

/* It is told at the deadline, and reads nothing that is gone by then. */
static void
a_worker_that_is_late(void **state)
{
	(void)state; /* cmocka's type */
	atomic_store(&dkim_world.gated, true);
	world.drops_content = true;
	begin("a@fail.test",
	      SIGNED("k._domainkey.victim.test") FROM("a@victim.test"),
	      "Hello.\r\n", false);
	wait_gated();
	turn_pass(reactor, VERIFY_MS - 1, NULL);
	assert_int_equal(world.done, 0);
	turn_pass(reactor, 2, NULL);
	assert_int_equal(world.done, 1);
	assert_int_equal(world.facts.dkim_n, 1);
	assert_int_equal(world.facts.dkim[0].result, DKIM_RESULT_TEMPERROR);
	assert_string_equal(world.facts.dkim[0].domain, "victim.test");
	assert_string_equal(world.facts.dkim[0].selector, "k");
	assert_int_equal(world.facts.dmarc.result, DMARC_TEMPERROR);
	end();
	open_gate();
	workers_free(&world.workers);
	world.workers = workers_new(1, "test");
	reactor_turn(reactor);
	assert_int_equal(world.done, 1);
	assert_memory_equal(buf_ptr(&dkim_world.fed) +
	                            buf_len(&dkim_world.fed) - 8,
	                    "Hello.\r\n", 8);
}

static void
cancelled_at_any_time(void **state)
{
	static const char header[] =
		SIGNED("k._domainkey.victim.test") FROM("a@victim.test");

	(void)state;                                       /* cmocka's type */
	begin("a@fail.test", header, "Hello.\r\n", false); /* at once */
	end();
	for (unsigned turns = 1; turns < 8; turns++) {
		begin("a@silent.test", header, "Hello.\r\n", turns % 2 == 0);
		for (unsigned i = 0; i < turns; i++) {
			reactor_turn(reactor);
		}
		end();
		assert_int_equal(world.done, 0);
	}
	for (int stored = 0; stored < 2; stored++) {
		atomic_store(&dkim_world.gated, true);
		atomic_store(&dkim_world.waiting, 0);
		begin("a@fail.test", header, "Hello.\r\n", stored != 0);
		wait_gated();
		end();
		open_gate();
		workers_free(&world.workers);
		world.workers = workers_new(1, "test");
		turn_pass(reactor, 30000, NULL);
		assert_int_equal(world.done, 0);
	}
}

static void
content_that_cannot_be_read(void **state)
{
	(void)state; /* cmocka's type */
	world.loses_content = true;
	begin("a@fail.test",
	      SIGNED("k._domainkey.victim.test") FROM("a@victim.test"),
	      "Hello.\r\n", true);
	wait_done();
	assert_int_equal(world.facts.dkim[0].result, DKIM_RESULT_TEMPERROR);
	assert_int_equal(world.facts.dmarc.result, DMARC_TEMPERROR);
	end();
}

/* A key of a domain seven labels below evil.test, none of which others have. */
#define DEEP(n)                                                                \
	SIGNED("k._domainkey.a" n ".b" n ".c" n ".d" n ".e" n ".f" n           \
	       ".evil.test")

static void
authors(void **state)
{
	static const struct {
		const char *header;
		enum dmarc_result result;
		enum dmarc_policy requested;
		const char *from;
	} cases[] = {
		/* Each field and each mailbox counts. */
		{ FROM("a@pass.test, b@victim.test"), DMARC_FAIL,
		  DMARC_POLICY_REJECT, "victim.test" },
		{ FROM("a@victim.test") FROM("a@pass.test"), DMARC_FAIL,
		  DMARC_POLICY_REJECT, "victim.test" },
		{ FROM("a@pass.test") FROM("a@victim.test"), DMARC_FAIL,
		  DMARC_POLICY_REJECT, "victim.test" },
		/* The strictest of those that fail. */
		{ FROM("a@mild.test, b@victim.test, c@middle.test"), DMARC_FAIL,
		  DMARC_POLICY_REJECT, "victim.test" },
		{ FROM("a@mild.test, c@middle.test"), DMARC_FAIL,
		  DMARC_POLICY_QUARANTINE, "middle.test" },
		/* A pass is one of all. */
		{ FROM("a@pass.test, b@pass.test"), DMARC_PASS,
		  DMARC_POLICY_NONE, "pass.test" },
		{ FROM("a@pass.test, b@none.test"), DMARC_NONE,
		  DMARC_POLICY_NONE, "none.test" },
		/* What may be aligned with one author hides no other. */
		{ DEEP("1") DEEP("2") DEEP("3") DEEP("4") DEEP("5") DEEP("6")
		          DEEP("7") DEEP("8")
		                  FROM("a@evil.test, a@victim.test"),
		  DMARC_FAIL, DMARC_POLICY_REJECT, "victim.test" },
		/* More than are looked up: no pass, and no policy. */
		{ FROM("a@pass.test, a@d1.test, a@d2.test, a@d3.test, "
		       "a@d4.test"),
		  DMARC_PERMERROR, DMARC_POLICY_NONE, NULL },
		{ FROM("a@pass.test, a@victim.test, a@d2.test, a@d3.test, "
		       "a@d4.test"),
		  DMARC_FAIL, DMARC_POLICY_REJECT, "victim.test" },
		{ FROM("a@pass.test") FROM("a@pass.test") FROM("a@pass.test")
		          FROM("a@pass.test") FROM("a@victim.test"),
		  DMARC_PERMERROR, DMARC_POLICY_NONE, "pass.test" },
		/* One that no two read alike. */
		{ FROM("<<>>"), DMARC_PERMERROR, DMARC_POLICY_NONE, "-" },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check("a@pass.test", cases[i].header);
		if (world.facts.dmarc.result != cases[i].result ||
		    (cases[i].from != NULL &&
		     strcmp(world.from, cases[i].from) != 0)) {
			fail_msg("case %zu: dmarc %d of %s (%s)", i,
			         (int)world.facts.dmarc.result, world.from,
			         world.facts.dmarc.text);
		}
		if (cases[i].result == DMARC_FAIL) {
			assert_int_equal(world.facts.dmarc.requested,
			                 cases[i].requested);
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(results),
		TEST(what_is_fed),
		TEST(a_sender_cannot_use_up_the_questions),
		TEST(silence_is_temperror),
		TEST(a_worker_that_is_late),
		TEST(cancelled_at_any_time),
		TEST(content_that_cannot_be_read),
		TEST(authors),
	};

	virtual_clock_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
