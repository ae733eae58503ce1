/*
 * The error value: codes, errno texts, wrapping, and that no length of text
 * overruns it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void
set_fills_all(void **state)
{
	struct err e;

	(void)state;
	memset(&e, 0x55, sizeof(e));
	assert_int_equal(err_set(&e, ERR_LIMIT, "%d of %s", 7, "nine"), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_int_equal(e.saved_errno, 0);
	assert_string_equal(e.text, "7 of nine");
}

static void
sys_appends_reason(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_sys(&e, ENOENT, "open %s", "a.pem"), -1);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_int_equal(e.saved_errno, ENOENT);
	assert_string_equal(e.text, "open a.pem: No such file or directory");
}

static void
wrap_keeps_code_and_errno(void **state)
{
	struct err e = { 0 };

	(void)state;
	(void)err_sys(&e, EACCES, "open dkim/a.pem");
	assert_int_equal(err_wrap(&e, "load key %d", 2), -1);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_int_equal(e.saved_errno, EACCES);
	assert_string_equal(e.text,
	                    "load key 2: open dkim/a.pem: Permission denied");
}

static void
long_text_is_cut(void **state)
{
	char big[2 * ERR_TEXT_MAX];
	struct err e[2];
	int i;

	(void)state;
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	memset(e, 0x55, sizeof(e));
	(void)err_set(&e[0], ERR_INVALID, "%s", big);
	assert_int_equal(strlen(e[0].text), ERR_TEXT_MAX - 1);
	(void)err_sys(&e[0], EIO, "%s", big);
	assert_int_equal(strlen(e[0].text), ERR_TEXT_MAX - 1);
	(void)err_set(&e[0], ERR_INVALID, "old");
	(void)err_wrap(&e[0], "%s", big);
	assert_int_equal(strlen(e[0].text), ERR_TEXT_MAX - 1);

	/* Wrapping again and again moves the oldest text out at the end. */
	(void)err_set(&e[0], ERR_INVALID, "deep");
	for (i = 0; i < 200; i++) {
		(void)err_wrap(&e[0], "level %d", i);
	}
	assert_int_equal(strlen(e[0].text), ERR_TEXT_MAX - 1);
	assert_memory_equal(e[0].text, "level 199: level 198: ", 22);
	assert_int_equal(((unsigned char *)&e[1])[0], 0x55);
}

static void
null_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_BUSY, "x"), -1);
	assert_int_equal(err_sys(NULL, EIO, "x"), -1);
	assert_int_equal(err_wrap(NULL, "x"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_all),
		cmocka_unit_test(sys_appends_reason),
		cmocka_unit_test(wrap_keeps_code_and_errno),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(null_is_accepted),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
