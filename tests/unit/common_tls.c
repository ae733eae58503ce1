/* A world of one store and one clock; see the header. */
#include "tests/unit/common_tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_store.h"

char *common_tls_dir;
struct store *common_tls_store;

static _Atomic int64_t wall;

static int64_t
fake_wall_ms(void)
{
	return atomic_load(&wall);
}

int64_t
common_tls_mono_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
common_tls_set_time(int64_t day, int64_t ms)
{
	atomic_store(&wall, day * COMMON_TLS_DAY_MS + ms);
}

int
common_tls_set_up(void **state)
{
	static const struct clock_source fake_clock = { fake_wall_ms,
		                                        common_tls_mono_ms };

	common_tls_set_time(COMMON_TLS_DAY, 1000);
	clock_inject(&fake_clock);
	common_tls_dir = scratch_new(NULL);
	common_tls_store = scratch_open(common_tls_dir);
	return common_conf_set_up(state);
}

int
common_tls_tear_down(void **state)
{
	store_close(&common_tls_store);
	scratch_free(&common_tls_dir);
	clock_inject(NULL);
	return common_conf_tear_down(state);
}

struct tls_result
common_tls_result(const char *domain, enum tls_failure failure)
{
	struct tls_result r = { .domain = domain,
		                .mx_host = "mx.a.test",
		                .failure = failure,
		                .reason = "why" };

	assert_int_equal(net_addr_parse("192.0.2.1", &r.local, NULL), 0);
	assert_int_equal(net_addr_parse("192.0.2.9", &r.peer, NULL), 0);
	return r;
}

void
common_tls_settle(struct tls_results *t)
{
	struct store_op op = { .kind = STORE_PAGE, .limit = 1 };

	/* Operations complete in order. */
	tls_results_flush(t);
	page_wait(common_tls_store, &op, 0, 1);
	page_free(&op);
}
