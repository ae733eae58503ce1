/*
 * Which mail is signed (design section 7, rule 2; checklist B27, B28, B29,
 * B35): from its header and envelope to what is stored with each recipient.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/id.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/decide.h"
#include "store/envelope.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_snapshot.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct snapshot *snapshot;

static int
set_up(void **state)
{
	(void)common_conf_set_up(state);
	snapshot = common_snapshot(
		common_conf_dir, GATEWAY SOURCES
		"internal_domains = ( \"example.com\", \"example.org\" );\n"
		"admission = { header_from = \"allow\"; };\n"
		"definitions = { dns_authentication = ( { name = \"com\"; "
		"domain = \"example.com\"; selector = \"s\"; key_file = "
		"\"dkim.key\"; }, { name = \"org\"; domain = \"example.org\"; "
		"selector = \"s\"; key_file = \"dkim.key\"; } ); };\n"
		"policies = { dns_authentication = ( { definition = ( \"com\", "
		"\"org\" ); }, { from = \"domain:example.org\"; based_on = "
		"\"header\"; definition = \"org\"; } ); };\n");
	return 0;
}

static int
tear_down(void **state)
{
	snapshot_unref(&snapshot);
	return common_conf_tear_down(state);
}

static struct envelope *
new_envelope(const char *sender, unsigned flags, const uint8_t *directions,
             uint32_t n)
{
	struct envelope *env = envelope_new(id_new());

	env->sender = sender;
	env->flags = flags;
	envelope_set_recipients(env, n);
	env->recipients_total = n;
	for (uint32_t i = 0; i < n; i++) {
		env->recipients[i].address = "b@partner.test";
		env->recipients[i].domain = "partner.test";
		env->recipients[i].direction = directions[i];
	}
	return env;
}

static void
check(const char *sign, const char *expected)
{
	if (expected == NULL) {
		assert_null(sign);
	} else {
		assert_non_null(sign);
		assert_string_equal(sign, expected);
	}
}

#define BOTH "com\norg"

static void
b28_from_fields(void **state)
{
	static const struct {
		const char *header;
		const char *sign; /* NULL: unsigned */
	} rows[] = {
		{ "From: a@example.com\r\n", BOTH },
		{ "From: A B <a@example.com>\r\nTo: x\r\n", BOTH },
		{ "From: a@example.com, b@Example.COM\r\n", BOTH },
		{ "From: a@example.org\r\n", "org" },
		{ "From: a@far.test\r\n", BOTH },
		/* No single author's domain for every reader. */
		{ "Subject: x\r\n", NULL },
		{ "From:\r\n", NULL },
		{ "From: a@example.com, a@example.org\r\n", NULL },
		{ "From: a@example.org, a@example.com\r\n", NULL },
		{ "From: a@example.com\r\nFrom: a@example.com\r\n", NULL },
		{ "From: g: <a@example.com>;\r\n", NULL },
		{ "From: <a@evil.test>:<boss@example.com>;\r\n", NULL },
		{ "From: <@evil.test:a@example.com>\r\n", NULL },
		{ "From: \"x@evil.test\" <a@example.com>\r\nFrom : b@c.test\r\n",
		  NULL },
		{ "From: b@evil.test <a@example.com>\r\n", NULL },
		/* No verifier need read on behind such a line. */
		{ "From: a@example.com\r\nTo: x\r\nno field\r\n", NULL },
		{ "From: a@example.com\r\nX: \r\n: y\r\n", NULL },
	};

	const uint8_t out[] = { DIRECTION_OUTBOUND };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct envelope *env =
			new_envelope("a@example.com", 0, out, COUNT(out));
		struct decide_facts facts;

		print_message("%s\n", rows[i].header);
		decide_look(snapshot, rows[i].header, strlen(rows[i].header),
		            env, &facts);
		assert_true((facts.unsigned_why != NULL) ==
		            (rows[i].sign == NULL));
		decide_envelope(snapshot, &facts, NULL, env);
		check(env->recipients[0].sign, rows[i].sign);
		envelope_unref(&env);
	}
}

/* By direction; the same decision is shared by recipients, another is not. */
static void
b27_directions(void **state)
{
	const uint8_t all[] = { DIRECTION_INTERNAL, DIRECTION_INTERNAL,
		                DIRECTION_INBOUND,  DIRECTION_INBOUND,
		                DIRECTION_OUTBOUND, DIRECTION_INBOUND };

	const struct decide_facts facts = { .mail = DECISION_MAIL_PERSON };
	struct envelope *env = new_envelope("x@far.test", 0, all, COUNT(all));

	(void)state;
	decide_envelope(snapshot, &facts, NULL, env);
	for (size_t i = 0; i < COUNT(all); i++) {
		check(env->recipients[i].sign,
		      all[i] == DIRECTION_INBOUND ? NULL : BOTH);
		assert_non_null(env->recipients[i].decision);
	}
	assert_ptr_equal(env->recipients[0].sign, env->recipients[1].sign);
	envelope_unref(&env);
}

static void
reports_of_ours(void **state)
{
	const uint8_t in[] = { DIRECTION_INBOUND };
	const struct decide_facts facts = { .mail = DECISION_MAIL_AUTOMATIC,
		                            .unsigned_why = "odd" };
	struct envelope *env = new_envelope("", ENVELOPE_REPORT, in, COUNT(in));

	(void)state;
	decide_envelope(snapshot, &facts, NULL, env);
	check(env->recipients[0].sign, BOTH);
	envelope_unref(&env);
	env = new_envelope("", 0, in, COUNT(in));
	decide_envelope(snapshot, &facts, NULL, env);
	check(env->recipients[0].sign, NULL);
	envelope_unref(&env);
}

/* ---- stationery --------------------------------------------------------- */

static struct snapshot *
with_layouts(const char *more)
{
	common_conf_write(common_conf_dir, "l.txt", "Example Ltd\n", 0644);
	return common_snapshot(
		common_conf_dir,
		GATEWAY SOURCES DOMAINS
		"definitions = { stationery_layouts = ( { name = \"all\"; "
		"text_file = \"l.txt\"; } ); };\n"
		"policies = { stationery = ( { layout = \"all\"; %s } ); };\n",
		more);
}

/* Mail from inside gets it, mail from outside and our reports never (rule 3,
 * B41). */
static void
b41_stationery(void **state)
{
	const uint8_t all[] = { DIRECTION_OUTBOUND, DIRECTION_INTERNAL,
		                DIRECTION_INBOUND };
	const struct decide_facts facts = { .mail = DECISION_MAIL_PERSON };
	struct snapshot *s = with_layouts("");
	struct envelope *env = new_envelope("a@example.com", 0, all, 3);

	(void)state;
	decide_envelope(s, &facts, NULL, env);
	check(env->recipients[0].layout, "all");
	check(env->recipients[1].layout, "all");
	check(env->recipients[2].layout, NULL);
	envelope_unref(&env);
	env = new_envelope("", ENVELOPE_REPORT, all, 3);
	decide_envelope(s, &facts, NULL, env);
	for (size_t i = 0; i < 3; i++) {
		check(env->recipients[i].layout, NULL);
	}
	envelope_unref(&env);
	snapshot_unref(&s);
}

/* The header is asked who wrote the mail when a policy wants to know. */
static void
automatic_mail(void **state)
{
	static const struct {
		const char *setting;
		const char *header;
		const char *layout;
	} rows[] = {
		{ "automatic_mail = false;", "From: a@example.com\r\n", "all" },
		{ "automatic_mail = false;",
		  "From: a@example.com\r\nAuto-Submitted: auto-replied\r\n",
		  NULL },
		{ "", "From: a@example.com\r\nAuto-Submitted: auto-replied\r\n",
		  "all" },
	};

	const uint8_t out[] = { DIRECTION_OUTBOUND };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct snapshot *s = with_layouts(rows[i].setting);
		struct envelope *env = new_envelope("a@example.com", 0, out, 1);
		struct decide_facts facts;

		decide_look(s, rows[i].header, strlen(rows[i].header), env,
		            &facts);
		decide_envelope(s, &facts, NULL, env);
		check(env->recipients[0].layout, rows[i].layout);
		assert_true(decide_asks_mail(s) ==
		            (rows[i].setting[0] != '\0'));
		envelope_unref(&env);
		snapshot_unref(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b28_from_fields),
		cmocka_unit_test(b27_directions),
		cmocka_unit_test(reports_of_ours),
		cmocka_unit_test(b41_stationery),
		cmocka_unit_test(automatic_mail),
	};

	return cmocka_run_group_tests_name("decide", tests, set_up, tear_down);
}
