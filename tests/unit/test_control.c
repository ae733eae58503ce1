#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "daemon/control/control_private.h"

/* The parts of the API that need no daemon. */

static void
text_becomes_utf8(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "M\xc3\xbcller", "M\xc3\xbcller" },
		{ "M\xfcller", "M\xef\xbf\xbdller" },
		{ "\xc3", "\xef\xbf\xbd" },
		{ "\xc3\xbc\xff\xc3\xbc", "\xc3\xbc\xef\xbf\xbd\xc3\xbc" },
		/* overlong, surrogate */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *v = control_json_text(cases[i].in);

		assert_string_equal(json_string_value(v), cases[i].out);
		json_decref(v);
	}
	assert_true(json_is_null(control_json_text(NULL)));
	assert_true(json_is_null(control_json_time(0)));
}

static struct control_job *
parse(const char *text, int *rc_r, struct err *e)
{
	struct control_job *job = mem_alloc(sizeof(*job));
	struct evkeyvalq query = { 0 };

	assert_int_equal(evhttp_parse_query_str(text, &query), 0);
	*rc_r = control_queue_parse(job, &query, e);
	evhttp_clear_headers(&query);
	return job;
}

static void
queries_are_read(void **state)
{
	struct control_job *job;
	char text[64];
	uint64_t id = id_new();
	char word[ID_TEXT_MAX];
	struct err e;
	int rc;

	(void)state; /* cmocka's type */
	job = parse("", &rc, &e);
	assert_int_equal(rc, 0);
	assert_int_equal(job->filter.limit, 100);
	assert_null(job->filter.from);
	control_job_free(&job);

	job = parse("from=a%2Bb%40x.test&to=%40y.test&status=held&limit=7&"
	            "since=2026-11-24T00:00:00Z&from=c%40x.test",
	            &rc, &e);
	assert_int_equal(rc, 0);
	assert_string_equal(job->filter.from, "c@x.test");
	assert_string_equal(job->filter.to, "@y.test");
	assert_string_equal(job->filter.status, "held");
	assert_int_equal(job->filter.limit, 7);
	assert_int_equal(job->filter.since_ms, INT64_C(1795478400000));
	control_job_free(&job);

	id_format(id, word);
	(void)snprintf(text, sizeof(text), "cursor=%s.3", word);
	job = parse(text, &rc, &e);
	assert_int_equal(rc, 0);
	assert_true(job->filter.after_id == id);
	assert_int_equal(job->filter.after_index, 3);
	control_job_free(&job);
}

static void
bad_queries_are_refused(void **state)
{
	static const char *const bad[] = {
		"limit=0",
		"limit=1001",
		"limit=-1",
		"limit=+5",
		"limit=5x",
		"limit=99999999999999999999",
		"cursor=x",
		"cursor=0000000000001",
		"cursor=0000000000001.",
		"cursor=0000000000001.x",
		"cursor=0000000000001.99999999999",
		"since=yesterday",
		"until=2026-13-01T00:00:00Z",
		"status=lost",
		"other=1",
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = { 0 };
		struct control_job *job;
		int rc;

		job = parse(bad[i], &rc, &e);
		if (rc != -1) {
			fail_msg("taken: %s", bad[i]);
		}
		assert_int_equal(e.code, ERR_INVALID);
		control_job_free(&job);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_becomes_utf8),
		cmocka_unit_test(queries_are_read),
		cmocka_unit_test(bad_queries_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
