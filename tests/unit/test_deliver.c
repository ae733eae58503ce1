/*
 * Delivery to honest servers: what goes over the wire for what they offer
 * (C10, C35, C37-C47, C52, C60, C61, B02, B31, A3.24).
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_deliver.h"
#include "tests/unit/deliver_scene.h"

/* ---- capabilities decide the form ----------------------------------- */

static void
test_lock_step(void **state)
{
	(void)state;
	begin("", NULL, "");
	struct world_job *job = world_deliver("r0");
	assert_string_equal(job->results[0].host, "127.0.0.1");
	assert_int_equal(job->results[0].peer.port, peer_port(0));
	assert_true(job->results[0].local.port != 0);
	assert_true(job->results[0].relayed_without_dsn);
	assert_true(job->results[0].attempted);
	assert_false(job->tls.active);
	world_expect(job, OUTCOME_DELIVERED, 250, "2.0.0");
	check_arrived(0, 0, SMALL, SMALL_LEN);
	assert_string_equal(peer_message(0, 0)->sender, "<a@example.com>");
	assert_string_equal(peer_message(0, 0)->rcpts, "<r0@partner.test>");
	/* C35: nothing without the reply to what was before. Content and its
	 * dot come in one read, so count where only commands are. */
	assert_int_equal(peer_burst(0), 4);
	end();
}

/* Thirty messages that are there at once. */
static void
begin_with_thirty(const char *capabilities)
{
	struct envelope *envs[30];
	struct world_job *jobs[30];

	/* One connection: how many a slow machine would open is not ours. */
	begin(capabilities, NULL, "connections_per_destination = 1;");
	for (size_t i = 0; i < 30; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 30);
	for (size_t i = 0; i < 30; i++) {
		world_wait(jobs[i]);
		assert_int_equal(jobs[i]->results[0].action, OUTCOME_DELIVERED);
		world_job_free(&jobs[i]);
	}
	assert_int_equal(peer_messages(0), 30);
	for (unsigned i = 0; i < 30; i++) {
		check_arrived(0, i, SMALL, SMALL_LEN);
	}
}

static void
test_pipelining(void **state)
{
	(void)state;
	begin_with_thirty(DATA_ONLY);
	/* Content, dot, and the next envelope in one write: 4 lines of content
	 * with the dot, then MAIL, RCPT, DATA. */
	print_message("burst %u\n", peer_burst(0));
	assert_true(peer_burst(0) >= 7);
	assert_int_equal(peer_connections(0), 1);
	end();
}

static void
test_chunking(void **state)
{
	(void)state;
	begin_with_thirty(CHUNKED);
	for (unsigned i = 0; i < 30; i++) {
		assert_true(peer_message(0, i)->bdat);
	}
	assert_true(peer_burst(0) >= 12); /* several messages in one write */
	assert_int_equal(count_sent(0, "DATA\n"), 0);
	end();
}

static const char *
refuse_ehlo(struct peer *p, const char *line)
{
	(void)p;
	return strncmp(line, "EHLO", 4) == 0 ? "502 5.5.1 what?\r\n" : NULL;
}

static void
test_helo(void **state) /* C38 */
{
	(void)state;
	begin(CHUNKED, refuse_ehlo, "");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(count_sent(0, "HELO gw1.example.net\n"), 1);
	assert_string_equal(peer_message(0, 0)->sender, "<a@example.com>");
	end();
}

/* ---- content -------------------------------------------------------- */

/* B02, C10: what must be doubled, what must not. */
static const char *const dotted[] = {
	".",
	".\r\n",
	"..\r\n",
	".x\r\n..y\r\n...\r\n",
	"a\r\n.\r\nb\r\n",
	"a\r\n.\r\nMAIL FROM:<x@y>\r\nDATA\r\n.\r\n",
	"a.\r\nb.c\r\n",
	"no line end",
	"",
	"\r\n",
	"\r\n.",
};

static void
run_dotted(const char *capabilities)
{
	begin(capabilities, NULL, "");
	for (unsigned i = 0; i < sizeof(dotted) / sizeof(dotted[0]); i++) {
		size_t len = strlen(dotted[i]);
		struct world_job *job =
			world_send(world_envelope("r0", 1, dotted[i], len));
		char expected[100];

		print_message("%u\n", i);
		world_wait(job);
		world_expect(job, OUTCOME_DELIVERED, 250, NULL);
		memcpy(expected, dotted[i], len + 1);
		bool open = len > 0 && (len < 2 || strcmp(expected + len - 2,
		                                          "\r\n") != 0);
		if (open && !peer_message(0, i)->bdat) {
			memcpy(expected + len, "\r\n", 3);
		}
		check_arrived(0, i, expected, strlen(expected));
	}
	end();
}

static void
test_dots_data(void **state)
{
	(void)state;
	run_dotted(DATA_ONLY);
}

static void
test_dots_bdat(void **state)
{
	(void)state;
	run_dotted(CHUNKED);
}

/* Lines of many lengths, so that dots and line ends meet every border. */
static char *
make_long(size_t len)
{
	char *s = mem_alloc(len + 1);
	size_t at = 0;
	size_t line = 0;

	while (at + 80 < len) {
		size_t n = line * 7 % 61;
		memset(s + at, line % 3 == 0 ? '.' : 'x', n + 1);
		at += n + 1;
		memcpy(s + at, "\r\n", 2);
		at += 2;
		line++;
	}
	while (at < len - 2) {
		s[at++] = '.';
	}
	memcpy(s + at, "\r\n", 2);
	return s;
}

static void
run_long(const char *capabilities, size_t len, bool cold)
{
	char *content = make_long(len);

	begin(capabilities, NULL, "");
	struct envelope *env = world_envelope("r0", 1, content, len);
	if (cold) {
		world_make_cold(env);
	}
	struct world_job *job = world_send(env);
	world_wait(job);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	check_arrived(0, 0, content, len);
	/* The same connection goes on. */
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 1);
	end();
	free(content);
}

static void
test_long(void **state)
{
	(void)state;
	run_long(DATA_ONLY, 1500000, false);
	run_long(CHUNKED, 1500000, false);
	run_long("250 SIZE\r\n", 300000, false);
}

/* Read back from the store: whole when short, piece by piece when long. */
static void
test_cold(void **state)
{
	(void)state;
	run_long(DATA_ONLY, 3000, true);
	run_long(CHUNKED, 3000, true);
	run_long(DATA_ONLY, 1500000, true);
	run_long(CHUNKED, 1500000, true);
	run_long("250 SIZE\r\n", 600000, true);
}

#define EIGHT_BIT                                                              \
	"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "        \
	"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc"   \
	"sse\r\n"

static void
test_8bit(void **state) /* C47, B31 */
{
	size_t len = sizeof(EIGHT_BIT) - 1;

	(void)state;
	begin(DATA_ONLY, NULL, "");
	struct world_job *job =
		world_send(world_envelope("r0", 1, EIGHT_BIT, len));
	world_wait(job);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	check_arrived(0, 0, EIGHT_BIT, len);
	assert_non_null(strstr(peer_message(0, 0)->sender, "BODY=8BITMIME"));
	end();

	begin("250-PIPELINING\r\n250 CHUNKING\r\n", NULL, "");
	struct envelope *cold = world_envelope("r0", 1, EIGHT_BIT, len);
	world_make_cold(cold);
	struct envelope *envs[2] = { world_envelope("r0", 1, EIGHT_BIT, len),
		                     cold };
	struct world_job *jobs[2];
	world_send_all(envs, jobs, 2);
	for (unsigned i = 0; i < 2; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_DELIVERED, 250, NULL);
		const struct peer_message *m = peer_message(0, i);
		assert_null(memmem(m->content, m->len, "\xc3", 1));
		assert_non_null(memmem(m->content, m->len, "Gr=C3=BCsse", 11));
		assert_null(strstr(m->sender, "BODY="));
	}
	end();
}

static void
test_8bit_impossible(void **state) /* B31: signed, 5.6.3 */
{
	static const char text[] =
		"Subject: x\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/signed; boundary=b; micalg=x; "
		"protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n"
		"Content-Type: text/plain\r\n\r\nGr\xc3\xbcsse\r\n--b\r\n"
		"Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";

	(void)state;
	begin("250 PIPELINING\r\n", NULL, "");
	struct world_job *job =
		world_send(world_envelope("r0", 2, text, sizeof(text) - 1));
	world_wait(job);
	assert_int_equal(job->results[1].action, OUTCOME_BOUNCE);
	world_expect(job, OUTCOME_BOUNCE, 554, "5.6.3");
	assert_int_equal(peer_messages(0), 0);
	end();
}

static void
test_smtputf8(void **state) /* C60 */
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		begin(round == 0 ? DATA_ONLY : "250 8BITMIME\r\n", NULL, "");
		struct envelope *env =
			world_envelope("r0", 2, SMALL, SMALL_LEN);
		env->flags |= ENVELOPE_SMTPUTF8;
		env->recipients[0].address = "\xc3\xa9@partner.test";
		struct world_job *job = world_send(env);
		world_wait(job);
		assert_int_equal(job->results[1].action, OUTCOME_DELIVERED);
		const struct peer_message *m = peer_message(0, 0);
		if (round == 0) {
			assert_non_null(strstr(m->sender, " SMTPUTF8"));
			world_expect(job, OUTCOME_DELIVERED, 250, NULL);
		} else {
			assert_string_equal(m->rcpts, "<r1@partner.test>");
			world_expect(job, OUTCOME_BOUNCE, 553, "5.6.7");
		}
		end();
	}
}

static void
test_size(void **state) /* C42 */
{
	(void)state;
	begin("250-PIPELINING\r\n250 SIZE 20\r\n", NULL, "");
	world_expect(world_deliver("r0"), OUTCOME_BOUNCE, 552, "5.3.4");
	assert_int_equal(count_sent(0, "MAIL"), 0);
	end();

	begin("250 SIZE 21\r\n", NULL, "");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_string_equal(peer_message(0, 0)->sender,
	                    "<a@example.com> SIZE=21");
	end();
}

static void
test_dsn(void **state) /* C52 */
{
	(void)state;
	begin(DATA_ONLY, NULL, "");
	struct envelope *env = world_envelope("r0", 2, SMALL, SMALL_LEN);
	env->flags |= ENVELOPE_RET_HDRS;
	env->envid = "QQ+2B1";
	env->recipients[0].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	env->recipients[0].orcpt = "rfc822;x+40y";
	env->recipients[1].notify = NOTIFY_NEVER;
	struct world_job *job = world_send(env);
	world_wait(job);
	assert_false(job->results[0].relayed_without_dsn);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_string_equal(peer_message(0, 0)->sender,
	                    "<a@example.com> SIZE=21 RET=HDRS ENVID=QQ+2B1");
	assert_string_equal(
		peer_message(0, 0)->rcpts,
		"<r0@partner.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+40y\n"
		"<r1@partner.test> NOTIFY=NEVER");
	end();
}

/* ---- recipients ----------------------------------------------------- */

static void
test_recipients_per_message(void **state) /* C39, C61 */
{
	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		static const char *const offers[] = {
			LIMITED,
			"250-PIPELINING\r\n250 SIZE\r\n",
			"250 SIZE\r\n",
		};
		unsigned max = round == 0 ? 4 : 5;

		begin(offers[round], NULL, "recipients_per_message = 5;");
		struct world_job *job =
			world_send(world_envelope("r0", 12, SMALL, SMALL_LEN));
		world_wait(job);
		for (unsigned i = 0; i < 12; i++) {
			assert_int_equal(job->results[i].position, i);
			assert_int_equal(job->results[i].action,
			                 OUTCOME_DELIVERED);
		}
		world_job_free(&job);
		assert_int_equal(peer_messages(0), 3);
		assert_int_equal(count(peer_message(0, 0)->rcpts, "<"), max);
		assert_int_equal(count_sent(0, "RCPT"), 12);
		end();
	}
}

static const char *
two_a_time(struct peer *p, const char *line)
{
	static _Thread_local unsigned n;

	(void)p;
	if (strncmp(line, "MAIL", 4) == 0) {
		n = 0;
	}
	if (strncmp(line, "RCPT", 4) == 0 && ++n > 2) {
		return "452 4.5.3 too many recipients\r\n";
	}
	return NULL;
}

static void
test_too_many_recipients(void **state) /* RFC 5321 4.5.3.1.10 */
{
	static const char *const offers[] = { DATA_ONLY, CHUNKED,
		                              "250 SIZE\r\n" };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		begin(offers[round], two_a_time,
		      "connections_per_destination = 1;");
		struct world_job *job =
			world_send(world_envelope("r0", 7, SMALL, SMALL_LEN));
		world_wait(job);
		for (unsigned i = 0; i < 7; i++) {
			assert_int_equal(job->results[i].action,
			                 OUTCOME_DELIVERED);
		}
		world_job_free(&job);
		assert_int_equal(peer_messages(0), 4);
		end();
	}
}

static const char *
three_fates(struct peer *p, const char *line)
{
	(void)p;
	if (strncmp(line, "RCPT TO:<r0@", 12) == 0) {
		return "450 4.2.1 later\r\n";
	}
	if (strncmp(line, "RCPT TO:<r1@", 12) == 0) {
		return "550 5.1.1 never\r\n";
	}
	return NULL;
}

static void
test_three_fates(void **state) /* A3.24 */
{
	static const char *const offers[] = { DATA_ONLY, CHUNKED,
		                              "250 SIZE\r\n" };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		begin(offers[round], three_fates, "");
		struct world_job *job =
			world_send(world_envelope("r0", 3, SMALL, SMALL_LEN));
		world_wait(job);
		assert_int_equal(job->results[0].action, OUTCOME_RETRY);
		assert_string_equal(job->results[0].status.enhanced, "4.2.1");
		assert_int_equal(job->results[1].action, OUTCOME_BOUNCE);
		assert_string_equal(job->results[1].status.text, "never");
		assert_int_equal(job->results[2].action, OUTCOME_DELIVERED);
		world_job_free(&job);
		assert_int_equal(peer_messages(0), 1);
		assert_string_equal(peer_message(0, 0)->rcpts,
		                    "<r2@partner.test>");
		end();
	}
}

static const char *
refuse_all(struct peer *p, const char *line)
{
	(void)p;
	if (strncmp(line, "RCPT TO:<r0@bad", 15) == 0) {
		return "550 5.1.1 never\r\n";
	}
	/* C45: a server may take DATA although nobody was accepted. */
	return strcmp(line, "DATA") == 0 ? "354 go\r\n" : NULL;
}

static void
test_nobody_accepted(void **state) /* C45 */
{
	static const char *const offers[] = { DATA_ONLY, CHUNKED,
		                              "250 SIZE\r\n" };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		begin(offers[round], refuse_all,
		      "connections_per_destination = 1;");
		struct envelope *envs[3];
		struct world_job *jobs[3];
		for (size_t i = 0; i < 3; i++) {
			envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
		}
		envs[1]->recipients[0].address = "r0@bad.test";
		world_send_all(envs, jobs, 3);
		world_wait(jobs[0]);
		world_wait(jobs[1]);
		world_wait(jobs[2]);
		world_expect(jobs[1], OUTCOME_BOUNCE, 550, "5.1.1");
		world_expect(jobs[0], OUTCOME_DELIVERED, 250, NULL);
		world_expect(jobs[2], OUTCOME_DELIVERED, 250, NULL);
		assert_int_equal(peer_messages(0), 2);
		assert_int_equal(peer_connections(0), 1);
		end();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_lock_step, tear_down),
		cmocka_unit_test_teardown(test_pipelining, tear_down),
		cmocka_unit_test_teardown(test_chunking, tear_down),
		cmocka_unit_test_teardown(test_helo, tear_down),
		cmocka_unit_test_teardown(test_dots_data, tear_down),
		cmocka_unit_test_teardown(test_dots_bdat, tear_down),
		cmocka_unit_test_teardown(test_long, tear_down),
		cmocka_unit_test_teardown(test_cold, tear_down),
		cmocka_unit_test_teardown(test_8bit, tear_down),
		cmocka_unit_test_teardown(test_8bit_impossible, tear_down),
		cmocka_unit_test_teardown(test_smtputf8, tear_down),
		cmocka_unit_test_teardown(test_size, tear_down),
		cmocka_unit_test_teardown(test_dsn, tear_down),
		cmocka_unit_test_teardown(test_recipients_per_message,
		                          tear_down),
		cmocka_unit_test_teardown(test_too_many_recipients, tear_down),
		cmocka_unit_test_teardown(test_three_fates, tear_down),
		cmocka_unit_test_teardown(test_nobody_accepted, tear_down),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
