/*
 * A file that libconfig got only a part of, because it does not look whether
 * a name found memory (A3.13): it is refused, and nobody falls over it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/common_conf_load.h"

#define NAMES 4 /* of settings in BASE */

static unsigned asked;
static unsigned fails_at; /* 0: never */

/* What libconfig copies names with; it finds this one before the library's. */
/* NOLINTBEGIN(bugprone-reserved-identifier, cert-dcl*, readability-ident*) */
char *__strdup(const char *s);

char *
__strdup(const char *s)
{
	size_t len = strlen(s) + 1;
	char *copy;

	asked++;
	if (asked == fails_at) {
		return NULL;
	}
	copy = malloc(len);
	return copy == NULL ? NULL : memcpy(copy, s, len);
}

/* NOLINTEND(bugprone-reserved-identifier, cert-dcl*, readability-ident*) */

static void
test_names(void **state)
{
	unsigned refused = 0;
	unsigned names;

	(void)state;
	struct conf *c = common_conf_load(BASE);
	assert_non_null(c);
	conf_unref(&c);
	names = asked;
	for (fails_at = 1; fails_at <= names; fails_at++) {
		asked = 0;
		c = common_conf_load(BASE);
		if (c == NULL) {
			assert_true(common_conf_has(false, 1,
			                            "Cannot allocate memory"));
			refused++;
			continue;
		}
		/* It was not a name of the file: nothing is missing. */
		assert_string_equal(c->gateway.hostname, "gw1.example.net");
		assert_int_equal(c->sources_n, 1);
		assert_int_equal(c->domains_n, 1);
		conf_unref(&c);
	}
	assert_true(refused >= NAMES);
	fails_at = 0;
	c = common_conf_load(BASE);
	assert_non_null(c);
	conf_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
