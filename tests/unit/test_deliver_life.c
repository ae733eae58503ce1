/*
 * The life of connections and destinations: reuse, growth, TLS, the choice of
 * hosts, maildirs, the end (C29, C37, C49, C63, B07).
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

/* ---- connections ---------------------------------------------------- */

static void
test_messages_per_connection(void **state)
{
	(void)state;
	begin(CHUNKED, NULL,
	      "messages_per_connection = 2; connections_per_destination = 1;");
	struct envelope *envs[5];
	struct world_job *jobs[5];
	for (size_t i = 0; i < 5; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 5);
	for (size_t i = 0; i < 5; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_DELIVERED, 250, NULL);
	}
	assert_int_equal(peer_connections(0), 3);
	/* C37; the peer may read it after the last reply was told. */
	for (unsigned i = 0; i < 50 && count_sent(0, "QUIT") < 2; i++) {
		usleep(20000);
	}
	assert_true(count_sent(0, "QUIT") >= 2);
	end();

	begin("250-PIPELINING\r\n250 LIMITS MAILMAX=1\r\n", NULL, ""); /* C61 */
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 2);
	end();
}

static void
test_idle_quit(void **state) /* C37 */
{
	struct deliver_counters c;

	(void)state;
	begin(CHUNKED, NULL, "idle_timeout = \"1s\";");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	world_counters(&c);
	assert_int_equal(c.connections, 1);
	assert_int_equal(c.destinations, 1);
	assert_int_equal(c.attempts, 1);
	for (unsigned i = 0; i < 30 && c.connections > 0; i++) {
		usleep(100000);
		world_counters(&c);
	}
	assert_int_equal(c.connections, 0);
	assert_int_equal(count_sent(0, "QUIT"), 1);
	end();
}

static const char *
slow(struct peer *p, const char *line)
{
	(void)p;
	if (strcmp(line, ".") == 0) {
		usleep(40000);
	}
	return NULL;
}

static void
test_growth(void **state)
{
	struct envelope *envs[60];
	struct world_job *jobs[60];

	(void)state;
	begin("250 SIZE\r\n", slow, "connections_per_destination = 6;");
	for (size_t i = 0; i < 60; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 60);
	for (size_t i = 0; i < 60; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_DELIVERED, 250, NULL);
	}
	assert_int_equal(peer_connections(0), 6);
	end();
}

/* ---- TLS ------------------------------------------------------------ */

static const char *
more_before_tls(struct peer *p, const char *line)
{
	/* B07: offered before TLS only. */
	if (strncmp(line, "EHLO", 4) == 0) {
		return p->tls ? "250-peer.test\r\n250 PIPELINING\r\n"
		              : "250-peer.test\r\n250-STARTTLS\r\n"
		                "250-8BITMIME\r\n250 SIZE 5\r\n";
	}
	return NULL;
}

static void
test_starttls(void **state) /* C49, B07 */
{
	(void)state;
	begin("", more_before_tls, "");
	struct world_job *job = world_deliver("r0");
	assert_true(job->tls.active);
	assert_string_equal(job->tls.version, "TLSv1.3");
	assert_true(job->tls.peer_certificate);
	assert_false(job->tls.verified); /* recorded, not enforced */
	assert_string_not_equal(job->tls.verify_text, "");
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_true(peer_message(0, 0)->tls);
	assert_string_equal(peer_message(0, 0)->sender, "<a@example.com>");
	assert_int_equal(count_sent(0, "EHLO"), 2);
	end();
}

static void
test_tls_resumed(void **state)
{
	(void)state;
	begin("", more_before_tls, "messages_per_connection = 1;");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	struct world_job *job = world_deliver("r0");
	assert_true(job->tls.active);
	assert_true(job->tls.resumed);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 2);
	end();
}

/* ---- next hops ------------------------------------------------------ */

static void
test_by_mx(void **state) /* C29, C63 */
{
	(void)state;
	begin(CHUNKED, NULL, "");
	struct world_job *job = world_deliver("partner.test");
	assert_string_equal(job->results[0].host, "mx.partner.test");
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	/* The better host is dead: the other one is tried at once. */
	world_expect(world_deliver("two.test"), OUTCOME_DELIVERED, 250, NULL);
	world_expect(world_deliver("null.test"), OUTCOME_BOUNCE, 556, "5.1.10");
	end();
}

static unsigned
read_maildir(const char *sub, char *content, size_t size)
{
	char path[1200];
	unsigned n = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", world_maildir(), sub);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
		if (d->d_name[0] == '.') {
			continue;
		}
		n++;
		(void)snprintf(path, sizeof(path), "%s/%s/%s", world_maildir(),
		               sub, d->d_name);
		char *text = common_conf_read(path);
		(void)snprintf(content, size, "%s", text);
		free(text);
	}
	closedir(dir);
	return n;
}

static void
test_maildir(void **state)
{
	char content[1000];

	(void)state;
	begin("", NULL, "");
	struct envelope *envs[2];
	struct world_job *jobs[2];
	envs[0] = world_envelope("boxes", 3, SMALL, SMALL_LEN);
	envs[1] = world_envelope("boxes", 1, SMALL, SMALL_LEN);
	for (uint32_t i = 0; i < 3; i++) { /* B21 */
		envs[0]->recipients[i].address = "../../etc/x@partner.test";
	}
	envs[1]->recipients[0].address = "../../etc/x@partner.test";
	world_make_cold(envs[1]);
	world_send_all(envs, jobs, 2);
	world_wait(jobs[0]);
	world_wait(jobs[1]);
	assert_int_equal(jobs[0]->results[2].action, OUTCOME_DELIVERED);
	assert_string_equal(jobs[0]->results[2].host, "boxes");
	world_expect(jobs[0], OUTCOME_DELIVERED, 250, "2.0.0");
	world_expect(jobs[1], OUTCOME_DELIVERED, 250, "2.0.0");
	assert_int_equal(read_maildir("new", content, sizeof(content)), 4);
	assert_string_equal(content, "Return-Path: <a@example.com>\n"
	                             "Delivered-To: ../../etc/x@partner.test\n"
	                             "Subject: x\n\nhello\n");
	assert_int_equal(read_maildir("tmp", content, sizeof(content)), 0);
	end();
}

static void
test_drain(void **state)
{
	(void)state;
	begin(CHUNKED, NULL, "");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	world_drain();
	struct world_job *job = world_deliver("r0");
	assert_false(job->results[0].attempted);
	world_expect(job, OUTCOME_RETRY, 451, "4.3.2");
	for (unsigned i = 0; i < 50 && count_sent(0, "QUIT") == 0; i++) {
		usleep(20000);
	}
	assert_int_equal(count_sent(0, "QUIT"), 1);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_messages_per_connection,
		                          tear_down),
		cmocka_unit_test_teardown(test_idle_quit, tear_down),
		cmocka_unit_test_teardown(test_growth, tear_down),
		cmocka_unit_test_teardown(test_starttls, tear_down),
		cmocka_unit_test_teardown(test_tls_resumed, tear_down),
		cmocka_unit_test_teardown(test_by_mx, tear_down),
		cmocka_unit_test_teardown(test_maildir, tear_down),
		cmocka_unit_test_teardown(test_drain, tear_down),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
