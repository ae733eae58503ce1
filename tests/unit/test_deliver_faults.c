/*
 * Delivery to servers that refuse, stall, lie or vanish, at every step
 * (A3.17-A3.24, B06, B08, B49, C27, C30, C33, C36). Whatever they do: no
 * result is lost, none says "delivered" without a 2yz to the end of the
 * content, and none bounces but by a permanent reply about the message.
 */
#include <pthread.h>
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

#include "base/clock.h"
#include "base/mem.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_deliver.h"

#define SMALL     "Subject: x\r\n\r\nhello\r\n"
#define SMALL_LEN (sizeof(SMALL) - 1)
#define PLAIN     "250 SIZE\r\n"
#define DATA_ONLY "250-PIPELINING\r\n250 SIZE\r\n"
#define CHUNKED   "250-PIPELINING\r\n250 CHUNKING\r\n"
#define TLS_FIRST "250-PIPELINING\r\n250 STARTTLS\r\n"
#define SHORT                                                                  \
	"connect_timeout = \"1s\"; greeting_timeout = \"1s\"; "                \
	"command_timeout = \"1s\"; data_timeout = \"1s\"; block_timeout = "    \
	"\"1s\"; final_timeout = \"1s\";"

static const char *const offers[] = { PLAIN, DATA_ONLY, CHUNKED };

static void
end(void)
{
	world_stop();
	for (unsigned i = 0; i < PEERS; i++) {
		peer_stop(i);
	}
}

static int
tear_down(void **state)
{
	(void)state;
	end();
	return 0;
}

/* ---- one fault at one step ------------------------------------------ */

static const char *fault_at;   /* prefix of the line */
static const char *fault_says; /* instead of the honest reply */
static _Atomic unsigned fault_times;

static const char *
faulty(struct peer *p, const char *line)
{
	bool match = fault_at[0] == '\0'
	                     ? line[0] == '\0'
	                     : strncmp(line, fault_at, strlen(fault_at)) == 0;

	if (!match || p->number != 0 || atomic_load(&fault_times) == 0) {
		return NULL;
	}
	atomic_fetch_sub(&fault_times, 1);
	return fault_says;
}

static void
set_fault(const char *at, const char *says, unsigned times)
{
	fault_at = at;
	fault_says = says;
	atomic_store(&fault_times, times);
}

struct fault {
	const char *at;
	const char *says;
	enum outcome_action action;
	unsigned code;
};

static const struct fault faults[] = {
	/* The server as a whole: C36, RFC 5321 section 4.2.1 */
	{ "", "554 5.3.2 no mail here\r\n", OUTCOME_RETRY, 554 },
	{ "", "421 4.3.2 busy\r\n", OUTCOME_RETRY, 421 },
	{ "", "450 4.3.2 busy\r\n", OUTCOME_RETRY, 450 },
	{ "EHLO", "421 4.3.2 busy\r\n", OUTCOME_RETRY, 421 },
	{ "EHLO", "451 4.3.2 busy\r\n", OUTCOME_RETRY, 451 },
	/* A3.20 */
	{ "MAIL", "421 4.3.2 closing\r\n", OUTCOME_RETRY, 421 },
	{ "RCPT", "421 4.3.2 closing\r\n", OUTCOME_RETRY, 421 },
	{ ".", "421 4.3.2 closing\r\n", OUTCOME_RETRY, 421 },
	/* The message */
	{ "MAIL", "451 4.1.8 later\r\n", OUTCOME_RETRY, 451 },
	{ "MAIL", "550 5.1.8 no\r\n", OUTCOME_BOUNCE, 550 },
	{ "RCPT", "450 4.2.1 later\r\n", OUTCOME_RETRY, 450 },
	{ "RCPT", "452 4.5.3 too many\r\n", OUTCOME_RETRY, 452 },
	{ "RCPT", "550 5.1.1 no\r\n", OUTCOME_BOUNCE, 550 },
	{ "RCPT", "599 5.0.0 odd\r\n", OUTCOME_BOUNCE, 599 }, /* C34 */
	{ ".", "451 4.7.1 later\r\n", OUTCOME_RETRY, 451 },
	{ ".", "554 5.7.1 spam\r\n", OUTCOME_BOUNCE, 554 },
	/* B49: what no server may say */
	{ "", "hello\r\n", OUTCOME_RETRY, 451 },
	{ "", "354 go\r\n", OUTCOME_RETRY, 451 },
	{ "EHLO", "250-a\r\n550 b\r\n", OUTCOME_RETRY, 451 },
	{ "MAIL", "2500 ok\r\n", OUTCOME_RETRY, 451 },
	{ "MAIL", "354 go\r\n", OUTCOME_RETRY, 451 },
	{ "RCPT", "250-ok\r\n550 no\r\n", OUTCOME_RETRY, 451 },
	{ "RCPT", "25\r\n", OUTCOME_RETRY, 451 },
	{ "RCPT", "354 go\r\n", OUTCOME_RETRY, 451 },
	{ ".", "354 go\r\n", OUTCOME_RETRY, 451 },
	{ ".", "\001\002\003\r\n", OUTCOME_RETRY, 451 },
	/* A3.18, A3.21, A3.22 */
	{ "", PEER_CLOSE, OUTCOME_RETRY, 451 },
	{ "EHLO", PEER_CLOSE, OUTCOME_RETRY, 451 },
	{ "MAIL", PEER_CLOSE, OUTCOME_RETRY, 451 },
	{ "RCPT", PEER_CLOSE, OUTCOME_RETRY, 451 },
	{ ".", PEER_CLOSE, OUTCOME_RETRY, 451 },
	{ "", PEER_RESET, OUTCOME_RETRY, 451 },
	{ "EHLO", PEER_RESET, OUTCOME_RETRY, 451 },
	{ "MAIL", PEER_RESET, OUTCOME_RETRY, 451 },
	{ "RCPT", PEER_RESET, OUTCOME_RETRY, 451 },
	{ ".", PEER_RESET, OUTCOME_RETRY, 451 },
	{ "MAIL", PEER_HALF_CLOSE, OUTCOME_RETRY, 451 },
	{ ".", PEER_HALF_CLOSE, OUTCOME_RETRY, 451 },
	{ "", PEER_STALL, OUTCOME_RETRY, 451 },
	{ "EHLO", PEER_STALL, OUTCOME_RETRY, 451 },
	{ "MAIL", PEER_STALL, OUTCOME_RETRY, 451 },
	{ "RCPT", PEER_STALL, OUTCOME_RETRY, 451 },
	{ ".", PEER_STALL, OUTCOME_RETRY, 451 },
};

static void
test_faults(void **state)
{
	(void)state;
	for (unsigned k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
		const struct fault *f = &faults[k];
		/* How a server behaves matters at the commands only. */
		for (unsigned round = 0; round < 3; round++) {
			print_message("%s in %u: %s", f->at, round, f->says);
			print_message(" -> ");
			set_fault(f->at, f->says, UINT32_MAX);
			peer_start(0, offers[round], faulty);
			world_start(SHORT);
			struct world_job *job = world_deliver("r0");
			assert_true(job->results[0].attempted);
			world_expect(job, f->action, f->code, NULL);
			/* With CHUNKING it may have come all the same. */
			bool garbage = f->says[0] == '2' || f->says[0] == '3';
			if (round < 2 || !garbage) {
				assert_int_equal(peer_messages(0), 0);
			}
			/* At most the one attempt: no storm of repeats. */
			assert_true(peer_connections(0) <= 2);
			end();
		}
	}
}

/* Faults of DATA itself, which CHUNKING does not know. */
static void
test_data_faults(void **state)
{
	static const struct fault rows[] = {
		{ "DATA", "451 4.3.0 later\r\n", OUTCOME_RETRY, 451 },
		{ "DATA", "554 5.3.0 no\r\n", OUTCOME_BOUNCE, 554 },
		{ "DATA", "250 ok\r\n", OUTCOME_RETRY, 451 },
		{ "DATA", "421 4.3.2 closing\r\n", OUTCOME_RETRY, 421 },
		{ "DATA", PEER_CLOSE, OUTCOME_RETRY, 451 },
		{ "DATA", PEER_RESET, OUTCOME_RETRY, 451 },
		{ "DATA", PEER_STALL, OUTCOME_RETRY, 451 },
	};

	(void)state;
	for (unsigned k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		for (unsigned round = 0; round < 2; round++) {
			print_message("%s in %u: %s", rows[k].at, round,
			              rows[k].says);
			print_message(" -> ");
			set_fault(rows[k].at, rows[k].says, UINT32_MAX);
			peer_start(0, offers[round], faulty);
			world_start(SHORT);
			world_expect(world_deliver("r0"), rows[k].action,
			             rows[k].code, NULL);
			assert_int_equal(peer_messages(0), 0);
			end();
		}
	}
}

/* The same faults where there is a second host: what is about the host moves
 * on at once (C29, C36), what is about the message does not. */
static void
test_next_host(void **state)
{
	static const struct {
		const char *at;
		const char *says;
		enum outcome_action action;
	} rows[] = {
		{ "", "554 5.3.2 no mail here\r\n", OUTCOME_DELIVERED },
		{ "", "421 4.3.2 busy\r\n", OUTCOME_DELIVERED },
		{ "", PEER_CLOSE, OUTCOME_DELIVERED },
		{ "", PEER_STALL, OUTCOME_DELIVERED },
		{ "EHLO", "451 4.3.2 busy\r\n", OUTCOME_DELIVERED },
		{ "MAIL", "421 4.3.2 closing\r\n", OUTCOME_DELIVERED },
		{ "MAIL", "451 4.3.2 disk full\r\n", OUTCOME_DELIVERED },
		{ "MAIL", PEER_CLOSE, OUTCOME_DELIVERED },
		{ "RCPT", "421 4.3.2 closing\r\n", OUTCOME_DELIVERED },
		{ ".", "421 4.3.2 closing\r\n", OUTCOME_DELIVERED },
		{ "RCPT", "550 5.1.1 no\r\n", OUTCOME_BOUNCE },
		{ ".", "451 4.7.1 later\r\n", OUTCOME_RETRY },
		{ ".", "554 5.7.1 spam\r\n", OUTCOME_BOUNCE },
		/* It may have arrived: not at once, and not elsewhere. */
		{ ".", PEER_CLOSE, OUTCOME_RETRY },
		{ ".", PEER_STALL, OUTCOME_RETRY },
	};

	(void)state;
	for (unsigned k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		print_message("%s: %s", rows[k].at, rows[k].says);
		print_message(" -> ");
		set_fault(rows[k].at, rows[k].says, UINT32_MAX);
		peer_start(0, DATA_ONLY, faulty);
		peer_start(1, DATA_ONLY, NULL);
		world_start(SHORT);
		struct world_job *job = world_deliver("both");
		print_message("%s\n", job->results[0].status.text);
		assert_int_equal(job->results[0].action, rows[k].action);
		assert_int_equal(peer_messages(1),
		                 rows[k].action == OUTCOME_DELIVERED);
		world_job_free(&job);
		end();
	}
}

/* ---- the destination as a whole ------------------------------------- */

static void
test_refused(void **state) /* A3.17 */
{
	struct envelope *envs[5];
	struct world_job *jobs[5];
	unsigned attempted = 0;

	(void)state;
	peer_start(1, CHUNKED, NULL);
	world_start("");
	for (size_t i = 0; i < 5; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 5);
	for (size_t i = 0; i < 5; i++) {
		world_wait(jobs[i]);
		const struct deliver_result *r = &jobs[i]->results[0];
		attempted += r->attempted;
		assert_int_equal(r->status.source, STATUS_CONNECT);
		if (!r->attempted) {
			/* The schedule's first delay, or less. */
			assert_in_range(r->retry_after_ms, 40000, 60000);
		}
		world_expect(jobs[i], OUTCOME_RETRY, 451, "4.4.1");
	}
	assert_int_equal(attempted, 1);
	/* It is left alone for a while, the others are not concerned. */
	struct world_job *job = world_deliver("r0");
	assert_false(job->results[0].attempted);
	assert_true(job->results[0].retry_after_ms > 0);
	world_job_free(&job);
	world_expect(world_deliver("r1"), OUTCOME_DELIVERED, 250, NULL);
	end();
}

static void
test_dead_beside_alive(void **state) /* A3.18, A3.19, rule 8 */
{
	struct envelope *envs[21];
	struct world_job *jobs[21];

	(void)state;
	set_fault("MAIL", PEER_STALL, UINT32_MAX);
	peer_start(0, CHUNKED, faulty);
	peer_start(1, CHUNKED, NULL);
	world_start(SHORT);
	for (size_t i = 0; i < 21; i++) {
		envs[i] = world_envelope(i < 20 ? "r0" : "r1", 1, SMALL,
		                         SMALL_LEN);
	}
	int64_t begin = clock_mono_ms();
	world_send_all(envs, jobs, 21);
	world_wait(jobs[20]);
	assert_true(clock_mono_ms() - begin < 500);
	world_expect(jobs[20], OUTCOME_DELIVERED, 250, NULL);
	for (size_t i = 0; i < 20; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_RETRY, 451, NULL);
	}
	end();
}

/* ---- connections that are reused ------------------------------------ */

static const char *
close_second(struct peer *p, const char *line)
{
	/* The first connection ends when its second transaction begins. */
	if (p->connection == 0 && p->messages > 0 &&
	    strncmp(line, "MAIL", 4) == 0) {
		return fault_says;
	}
	return NULL;
}

static void
test_reused_connection_dies(void **state)
{
	static const char *const says[] = { PEER_CLOSE, PEER_RESET,
		                            "421 4.4.2 idle too long\r\n" };

	(void)state;
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned round = 0; round < 3; round++) {
			fault_says = says[k];
			peer_start(0, offers[round], close_second);
			world_start(SHORT);
			world_expect(world_deliver("r0"), OUTCOME_DELIVERED,
			             250, NULL);
			world_expect(world_deliver("r0"), OUTCOME_DELIVERED,
			             250, NULL);
			assert_int_equal(peer_connections(0), 2);
			assert_int_equal(peer_messages(0), 2);
			end();
		}
	}
}

static const char *
break_third(struct peer *p, const char *line)
{
	if (p->connection == 0 && p->messages == 3 && strcmp(line, ".") == 0) {
		return fault_says;
	}
	return NULL;
}

static void
test_break_in_pipeline(void **state)
{
	static const char *const says[] = { PEER_CLOSE, PEER_RESET, PEER_STALL,
		                            "421 4.3.2 closing\r\n", "x\r\n" };

	(void)state;
	for (unsigned k = 0; k < 5; k++) {
		for (unsigned round = 0; round < 3; round++) {
			struct envelope *envs[12];
			struct world_job *jobs[12];
			unsigned delivered = 0;

			fault_says = says[k];
			peer_start(0, offers[round], break_third);
			world_start(SHORT "connections_per_destination = 1;");
			for (size_t i = 0; i < 12; i++) {
				envs[i] = world_envelope("r0", 1, SMALL,
				                         SMALL_LEN);
			}
			world_send_all(envs, jobs, 12);
			for (size_t i = 0; i < 12; i++) {
				world_wait(jobs[i]);
				delivered += jobs[i]->results[0].action ==
				             OUTCOME_DELIVERED;
				assert_int_not_equal(jobs[i]->results[0].action,
				                     OUTCOME_BOUNCE);
				world_job_free(&jobs[i]);
			}
			print_message("%u %u: %u delivered\n", k, round,
			              delivered);
			/* Each says what happened: no loss, no doubling. */
			assert_int_equal(peer_messages(0), delivered);
			if (says[k] != says[3]) {
				/* Only the one at fault waits. */
				assert_int_equal(delivered, 11);
			}
			end();
		}
	}
}

static const char *
deliver_then_reset(struct peer *p, const char *line)
{
	if (p->messages > 0 && strcmp(line, "QUIT") == 0) {
		return PEER_RESET;
	}
	return NULL;
}

static void
test_reset_after_250(void **state) /* A3.21, C37 */
{
	(void)state;
	peer_start(0, DATA_ONLY, deliver_then_reset);
	world_start("messages_per_connection = 1;");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	end();
}

/* ---- in the middle of a content ------------------------------------- */

/* Lines of 80 octets, the last one shorter or longer. */
static char *
make_long(size_t len)
{
	char *content = mem_alloc(len);

	memset(content, 'x', len);
	for (size_t i = 78; i + 2 < len; i += 80) {
		memcpy(content + i, "\r\n", 2);
	}
	memcpy(content + len - 2, "\r\n", 2);
	return content;
}

static void
run_midway(const char *says, bool cold, enum outcome_action action,
           unsigned code)
{
	size_t len = 8000000;
	char *content = make_long(len);

	for (unsigned round = 0; round < 2; round++) {
		set_fault("354", says, 1);
		peer_start(0, offers[round], faulty);
		world_start(SHORT);
		struct envelope *env = world_envelope("r0", 1, content, len);
		if (cold) {
			world_make_cold(env);
		}
		struct world_job *job = world_send(env);
		world_wait(job);
		print_message("%d: %s", cold, says);
		print_message(" -> ");
		world_expect(job, action, code, NULL);
		assert_int_equal(peer_messages(0), 0);
		end();
	}
	free(content);
}

static void
test_early_reply(void **state)
{
	(void)state;
	for (unsigned cold = 0; cold < 2; cold++) {
		/* Accepted before it was sent: not believed. */
		run_midway("250 ok\r\n", cold, OUTCOME_RETRY, 451);
		run_midway("552 5.3.4 too big\r\n", cold, OUTCOME_BOUNCE, 552);
		run_midway("451 4.3.0 later\r\n", cold, OUTCOME_RETRY, 451);
		run_midway("421 4.3.2 closing\r\n", cold, OUTCOME_RETRY, 421);
		run_midway(PEER_CLOSE, cold, OUTCOME_RETRY, 451);
		run_midway(PEER_RESET, cold, OUTCOME_RETRY, 451);
	}
}

/* ---- the end in the middle of a content ------------------------------ */

static const char *
words_then_reset(struct peer *p, const char *line)
{
	if (p->number == 0 && strcmp(line, "354") == 0) {
		p->reset_after = true;
		return fault_says;
	}
	return NULL;
}

static struct world_job *
deliver_long(const char *route, size_t len)
{
	char *content = make_long(len);
	struct world_job *job =
		world_send(world_envelope(route, 1, content, len));

	world_wait(job);
	free(content);
	return job;
}

/* What the peer said before it broke the connection is what is recorded, also
 * when it is our write that notices the end (A3.20). */
static void
test_last_words(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		fault_says = "421 4.3.2 shutting down now\r\n";
		peer_start(0, offers[round % 2], words_then_reset);
		world_start(SHORT);
		struct world_job *job = deliver_long("r0", 8000000);
		assert_non_null(strstr(job->results[0].status.text,
		                       "shutting down now"));
		assert_int_equal(job->results[0].status.source, STATUS_REPLY);
		world_expect(job, OUTCOME_RETRY, 421, "4.3.2");
		assert_int_equal(peer_messages(0), 0);
		end();
	}
}

/* A content that has surely not arrived goes to the next host at once, also
 * when the connection broke while it was written (A3.22, C29). */
static void
test_reset_midway(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		set_fault("354", PEER_RESET, UINT32_MAX);
		peer_start(0, offers[round % 2], faulty);
		peer_start(1, offers[round % 2], NULL);
		world_start(SHORT);
		world_expect(deliver_long("both", 8000000), OUTCOME_DELIVERED,
		             250, NULL);
		assert_int_equal(peer_messages(0), 0);
		assert_int_equal(peer_messages(1), 1);
		end();
	}
}

static const char *
slow_reader(struct peer *p, const char *line)
{
	(void)p;
	if (strcmp(line, "354") == 0) {
		sleep(4);
	}
	return NULL;
}

static void
test_stopped_reader(void **state) /* the block timeout, C27 */
{
	size_t len = 30000000;
	char *content = make_long(len);

	(void)state;
	for (unsigned cold = 0; cold < 2; cold++) {
		peer_start(0, DATA_ONLY, slow_reader);
		world_start("block_timeout = \"1s\";");
		struct envelope *env = world_envelope("r0", 1, content, len);
		if (cold == 1) {
			world_make_cold(env);
		}
		int64_t begin = clock_mono_ms();
		struct world_job *job = world_send(env);
		world_wait(job);
		assert_true(clock_mono_ms() - begin < 3500);
		assert_true(job->results[0].status.nothing_sent);
		world_expect(job, OUTCOME_RETRY, 451, NULL);
		end();
	}
	free(content);
}

/* ---- STARTTLS ------------------------------------------------------- */

static void
test_starttls_refused(void **state) /* B08 */
{
	(void)state;
	set_fault("STARTTLS", "454 4.7.0 not now\r\n", UINT32_MAX);
	peer_start(0, TLS_FIRST, faulty);
	world_start(SHORT);
	struct world_job *job = world_deliver("r0");
	assert_false(job->tls.active);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 1);
	end();
}

static const char *
broken_tls(struct peer *p, const char *line)
{
	(void)p;
	if (strcmp(line, "STARTTLS") == 0) {
		return fault_says;
	}
	return NULL;
}

static void
test_starttls_broken(void **state) /* B08: a fresh connection, in clear */
{
	static const char *const says[] = {
		"220 go\r\n", /* and then no TLS: see below */
		PEER_CLOSE,
	};

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		fault_says = says[k];
		peer_start(0, TLS_FIRST, broken_tls);
		world_start(SHORT);
		struct world_job *job = world_deliver("r0");
		print_message("%u: %u\n", k, job->results[0].status.code);
		if (k == 0) {
			assert_true(job->tls.active);
		} else {
			/* No reply at all to STARTTLS is not a handshake that
			 * failed, it is a host that failed. */
			assert_int_equal(job->results[0].action, OUTCOME_RETRY);
		}
		world_job_free(&job);
		end();
	}
}

static const char *
handshake_fails(struct peer *p, const char *line)
{
	/* Says go, then closes as soon as the first octets come. */
	if (strcmp(line, "STARTTLS") == 0 && p->connection == 0) {
		return "220 go\r\n";
	}
	return NULL;
}

static void
test_handshake_fails(void **state)
{
	(void)state;
	peer_break_tls(true);
	peer_start(0, TLS_FIRST, handshake_fails);
	world_start(SHORT);
	struct world_job *job = world_deliver("r0");
	assert_false(job->tls.active);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 2);
	assert_false(peer_message(0, 0)->tls);
	/* It is remembered: no third try of TLS. */
	char *t = peer_transcript(0);
	assert_null(strstr(strstr(t, "STARTTLS") + 1, "STARTTLS"));
	free(t);
	peer_break_tls(false);
	end();
}

static void
test_starttls_injection(void **state) /* B06 */
{
	(void)state;
	set_fault("STARTTLS", "220 go\r\n250 SIZE 1\r\n", UINT32_MAX);
	peer_start(0, TLS_FIRST, faulty);
	world_start(SHORT);
	struct world_job *job = world_deliver("r0");
	assert_false(job->tls.active);
	world_expect(job, OUTCOME_RETRY, 451, NULL);
	assert_int_equal(peer_messages(0), 0);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_faults, tear_down),
		cmocka_unit_test_teardown(test_data_faults, tear_down),
		cmocka_unit_test_teardown(test_next_host, tear_down),
		cmocka_unit_test_teardown(test_refused, tear_down),
		cmocka_unit_test_teardown(test_dead_beside_alive, tear_down),
		cmocka_unit_test_teardown(test_reused_connection_dies,
		                          tear_down),
		cmocka_unit_test_teardown(test_break_in_pipeline, tear_down),
		cmocka_unit_test_teardown(test_reset_after_250, tear_down),
		cmocka_unit_test_teardown(test_early_reply, tear_down),
		cmocka_unit_test_teardown(test_last_words, tear_down),
		cmocka_unit_test_teardown(test_reset_midway, tear_down),
		cmocka_unit_test_teardown(test_stopped_reader, tear_down),
		cmocka_unit_test_teardown(test_starttls_refused, tear_down),
		cmocka_unit_test_teardown(test_starttls_broken, tear_down),
		cmocka_unit_test_teardown(test_handshake_fails, tear_down),
		cmocka_unit_test_teardown(test_starttls_injection, tear_down),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
