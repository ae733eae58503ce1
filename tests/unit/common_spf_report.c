/*
 * Evaluations of SPF as tests want them: with all that must hold for each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/common_spf_zone.h"

struct spf_query
spf_zone_query(const char *client, const char *sender, const char *helo)
{
	struct spf_query q = { .sender = sender, .helo = helo };

	assert_int_equal(net_addr_parse(client, &q.client, NULL), 0);
	return q;
}

struct spf_report
spf_zone_report(struct spf_zone *z, const char *client, const char *sender,
                const char *helo)
{
	struct spf_query q = spf_zone_query(client, sender, helo);
	struct spf_report at_once;
	struct spf_report late;

	spf_zone_slow(z, false);
	spf_zone_clear_asked(z);
	assert_int_equal(spf_zone_check(z, &q, &at_once), 1);
	spf_zone_slow(z, true);
	assert_int_not_equal(spf_zone_check(z, &q, &late), 0);
	assert_int_equal(at_once.result, late.result);
	assert_string_equal(at_once.domain, late.domain);
	assert_string_equal(at_once.mechanism, late.mechanism);
	assert_string_equal(at_once.text, late.text);
	assert_int_equal(at_once.lookups, late.lookups);
	assert_int_equal(at_once.voids, late.voids);
	assert_true(at_once.helo == late.helo);
	for (const char *s = at_once.text; *s != '\0'; s++) {
		assert_in_range(*s, 0x20, 0x7e);
	}
	return at_once;
}

struct spf_report
spf_zone_report_record(const char *record, const char *client)
{
	struct spf_zone *z = spf_zone_new();

	spf_zone_add(z, "x.example", DNS_TXT, record);
	struct spf_report r =
		spf_zone_report(z, client, "a@x.example", "h.example");
	spf_zone_free(&z);
	return r;
}

void
spf_zone_want(const struct spf_report *r, enum spf_result result,
              const char *text)
{
	if (r->result != result || strstr(r->text, text) == NULL) {
		fail_msg("%s (%s), not %s (%s)", spf_result_word(r->result),
		         r->text, spf_result_word(result), text);
	}
}
