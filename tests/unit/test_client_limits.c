/*
 * The deadlines of a delivery, each in virtual time: not before, not long
 * after, and what it means for the recipient (C27, A3.18).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/status.h"
#include "tests/unit/common_model_away.h"

#define SAID_MAX 8
#define SLACK_MS 2000 /* deadlines are looked at a few times a second */

struct row {
	const char *said[SAID_MAX]; /* by the server, before it falls silent */
	int64_t wait_ms;
	enum smtp_stage stage;
	enum away_content content;
	bool deaf; /* it does not read the content either */
};

#define OPEN "220 mx\r\n", "250 mx\r\n"

static const struct row rows[] = {
	{ { NULL }, 300000, STAGE_GREETING, AWAY_SMALL, false },
	{ { "220 mx\r\n" }, 300000, STAGE_EHLO, AWAY_SMALL, false },
	{ { "220 mx\r\n", "502 what\r\n" },
	  300000,
	  STAGE_EHLO,
	  AWAY_SMALL,
	  false },
	{ { "220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n" },
	  300000,
	  STAGE_STARTTLS,
	  AWAY_SMALL,
	  false },
	{ { OPEN }, 300000, STAGE_MAIL, AWAY_SMALL, false },
	{ { OPEN, "250 ok\r\n" }, 300000, STAGE_RCPT, AWAY_SMALL, false },
	{ { OPEN, "250 ok\r\n", "250 ok\r\n" },
	  120000,
	  STAGE_DATA,
	  AWAY_SMALL,
	  false },
	{ { OPEN, "250 ok\r\n", "250 ok\r\n", "354 go\r\n" },
	  600000,
	  STAGE_DOT,
	  AWAY_SMALL,
	  false },
	{ { OPEN, "250 ok\r\n", "250 ok\r\n", "354 go\r\n" },
	  180000,
	  STAGE_CONTENT,
	  AWAY_COLD,
	  true },
};

static void
say(const char *text)
{
	away_peer_write(0, text, strlen(text));
	away_settle();
}

static void
expect_retry(unsigned job, enum smtp_stage stage, const char *enhanced)
{
	const struct away_job *j = away_job(job);

	assert_true(j->done);
	assert_int_equal(j->results[0].action, OUTCOME_RETRY);
	assert_int_equal(j->results[0].status.stage, stage);
	assert_string_equal(j->results[0].status.enhanced, enhanced);
}

static void
check_row(const struct row *r)
{
	unsigned job;

	away_begin();
	job = away_send("r0", 1, r->content, 0);
	away_settle();
	assert_int_equal(away_peers(), 1);
	for (size_t i = 0; i < SAID_MAX && r->said[i] != NULL; i++) {
		if (r->deaf && r->said[i][0] == '3') {
			away_peer_read(0, false);
		}
		say(r->said[i]);
	}
	away_set_connect(AWAY_REFUSE);
	away_advance(r->wait_ms - SLACK_MS);
	assert_false(away_job(job)->done);
	away_advance(2 * SLACK_MS);
	if (r->deaf) {
		/* What the kernel took at first was progress. */
		assert_false(away_job(job)->done);
		away_advance(r->wait_ms);
	}
	expect_retry(job, r->stage, "4.4.2");
	assert_int_equal(away_connections(), 0);
	away_end();
}

static void
test_silence(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check_row(&rows[i]);
	}
}

/* A handshake that stands still; then, because TLS is only tried, in clear on
 * another connection. */
static void
test_handshake(void **state)
{
	unsigned job;

	(void)state; /* cmocka's type */
	away_begin();
	job = away_send("r0", 1, AWAY_SMALL, 0);
	away_settle();
	say("220 mx\r\n");
	say("250-mx\r\n250 STARTTLS\r\n");
	say("220 go\r\n");
	away_advance(300000 - SLACK_MS);
	assert_int_equal(away_peers(), 1);
	away_advance(2 * SLACK_MS);
	assert_false(away_job(job)->done);
	assert_int_equal(away_peers(), 2);
	away_end();
}

static void
test_connect(void **state)
{
	unsigned job;

	(void)state; /* cmocka's type */
	away_begin();
	away_set_connect(AWAY_HANG);
	job = away_send("r0", 1, AWAY_SMALL, 0);
	away_settle();
	away_advance(30000 - SLACK_MS);
	assert_false(away_job(job)->done);
	away_advance(2 * SLACK_MS);
	expect_retry(job, STAGE_CONNECT, "4.4.1");
	away_end();
}

/* A connection that is kept for the next message. */
static void
test_idle(void **state)
{
	static const char *const said[] = { OPEN, "250 ok\r\n", "250 ok\r\n",
		                            "354 go\r\n", "250 queued\r\n" };
	const char *input;
	unsigned job;
	size_t len;

	(void)state; /* cmocka's type */
	away_begin();
	job = away_send("r0", 1, AWAY_SMALL, 0);
	away_settle();
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		say(said[i]);
	}
	assert_true(away_job(job)->done);
	assert_int_equal(away_job(job)->results[0].action, OUTCOME_DELIVERED);
	away_advance(3000);
	assert_int_equal(away_connections(), 1);
	away_advance(3000);
	assert_int_equal(away_connections(), 0);
	input = away_peer_input(0, &len);
	assert_memory_equal(input + len - 6, "QUIT\r\n", 6);
	away_end();
}

static int
set_up(void **state)
{
	(void)state; /* cmocka's type */
	away_start("");
	return 0;
}

static int
tear_down(void **state)
{
	(void)state; /* cmocka's type */
	away_stop();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_idle),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
