/*
 * What a destination may hold in memory, and for how long one that failed is
 * left alone (design rule 8; C28, A3.17).
 */
#include <unistd.h>

#include "tests/unit/common_conf_load.h"
#include "tests/unit/deliver_scene.h"

static struct world_job *
send_small(void)
{
	return world_send(world_envelope("r0", 1, SMALL, SMALL_LEN));
}

static const char *
stall(struct peer *p, const char *line)
{
	(void)p;
	return line[0] == '\0' ? PEER_STALL : NULL;
}

/* Two wait for a peer that says nothing: the third has no room, however much
 * one that moves would have. */
static void
test_no_room(void **state)
{
	struct world_job *jobs[3];

	(void)state;
	begin(CHUNKED, stall, "");
	world_set_room(1000, 2);
	for (size_t i = 0; i < 3; i++) {
		jobs[i] = send_small();
	}
	world_wait(jobs[2]);
	const struct deliver_result *r = &jobs[2]->results[0];
	assert_int_equal(r->action, OUTCOME_RETRY);
	assert_false(r->attempted);
	assert_int_equal(r->status.code, 451);
	assert_int_equal(r->retry_after_ms, 2000);
	/* Nothing leaves for longer: the longest wait. */
	usleep(600000);
	struct world_job *late = send_small();
	world_wait(late);
	assert_int_equal(late->results[0].retry_after_ms, 30000);
	world_job_free(&late);
	assert_false(world_is_done(jobs[0], 0));
	assert_false(world_is_done(jobs[1], 0));
	world_set_room(0, 0);
	end();
	for (size_t i = 0; i < 3; i++) {
		world_job_free(&jobs[i]);
	}
}

static const char *
slow(struct peer *p, const char *line)
{
	(void)p;
	if (line[0] == '.' || strncmp(line, "BDAT", 4) == 0) {
		usleep(10000);
	}
	return NULL;
}

/* A destination that moves calls back what it put off in the time that half
 * of what waits will take, and has more room than one that stands still. */
static void
test_room_by_pace(void **state)
{
	struct world_job *jobs[200];
	struct world_job *late;

	(void)state;
	begin(CHUNKED, slow, "connections_per_destination = 1;");
	for (size_t i = 0; i < 200; i++) {
		jobs[i] = send_small();
	}
	world_wait(jobs[80]); /* about 0.8 s, so that the pace is known */
	world_set_room(1, 1000);
	late = send_small();
	world_wait(late);
	const struct deliver_result *r = &late->results[0];
	assert_false(r->attempted);
	assert_in_range(r->retry_after_ms, 1, 10000);
	world_set_room(0, 0);
	for (size_t i = 0; i < 200; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_DELIVERED, 250, NULL);
	}
	world_job_free(&late);
	end();
}

static void
expect_backoff(struct world_job *job, int64_t least, int64_t most)
{
	const struct deliver_result *r = &job->results[0];

	assert_int_equal(r->action, OUTCOME_RETRY);
	assert_false(r->attempted);
	assert_in_range(r->retry_after_ms, least, most);
	world_job_free(&job);
}

/* Nobody listens: the first is tried, the next wait as long as the schedule
 * lets the first wait, never longer; the second failure doubles as it does. */
static void
test_backoff_follows_schedule(void **state)
{
	struct world_job *job;

	(void)state;
	world_start("retry = ( \"1s\", \"40s\" );");
	(void)peer_port(0);
	job = world_deliver("r0");
	assert_true(job->results[0].attempted);
	assert_int_equal(job->results[0].action, OUTCOME_RETRY);
	world_job_free(&job);
	expect_backoff(world_deliver("r0"), 1, 1000);
	usleep(1050000);
	job = world_deliver("r0");
	assert_true(job->results[0].attempted);
	world_job_free(&job);
	expect_backoff(world_deliver("r0"), 29000, 40000);
	world_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_room_by_pace),
		cmocka_unit_test(test_backoff_follows_schedule),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
