/*
 * Decisions: the winners' names as they are stored, the need that follows, who
 * becomes an Auto sender, and what signs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "conf/conf.h"
#include "policy/decision.h"
#include "tests/unit/common_conf_load.h"

static struct conf *conf;
static struct select *compiled;
static struct arena *arena;

static void
load(const char *policies)
{
	conf = common_conf_loads("%spolicies = {\n%s};\n", BASE, policies);
	compiled = select_new(conf);
	arena = arena_new(1024);
}

static void
unload(void)
{
	arena_free(&arena);
	select_free(&compiled);
	conf_unref(&conf);
}

static struct decision
decide(const char *sender, const char *recipient, struct decision_input in)
{
	struct decision d;

	in.select = compiled;
	in.question.sender = sender;
	in.question.recipient = recipient;
	in.question.null_internal = true;
	decision_make(&in, &d);
	return d;
}

static void
check_text(const char *text, const char *expected)
{
	if (expected == NULL) {
		assert_null(text);
	} else {
		assert_non_null(text);
		assert_string_equal(text, expected);
	}
}

static void
test_stored(void **state)
{
	struct decision_input plain = { .outbound = true };
	struct decision_input require = { .require_tls = true,
		                          .optional = true };
	struct decision_input optional = { .optional = true };
	struct decision d;

	(void)state;
	load("secure_delivery = ( { narrative = \"all \\\"of\\\" it\"; },\n"
	     "  { to = \"domain:bank.test\"; option = \"enforced_tls\"; } );\n"
	     "auto_allow_creation = ( { narrative = \"a\\\\b\";"
	     " from = \"internal\"; to = \"external\"; } );\n");
	d = decide("a@example.com", "b@partner.test", plain);
	check_text(decision_json(&d, arena),
	           "{\"secure_delivery\":\"all \\\"of\\\" it\","
	           "\"auto_allow_creation\":\"a\\\\b\"}");
	check_text(decision_tls_text(&d, arena), "strict");
	d = decide("a@example.com", "b@bank.test", plain);
	check_text(decision_json(&d, arena),
	           "{\"secure_delivery\":\"secure_delivery in line 6\","
	           "\"auto_allow_creation\":\"a\\\\b\"}");
	check_text(decision_tls_text(&d, arena), "enforced strict");
	/* REQUIRETLS sets TLS-Required aside (RFC 8689 section 4.1). */
	d = decide("", "b@bank.test", require);
	check_text(decision_tls_text(&d, arena), "enforced strict requiretls");
	d = decide("", "b@bank.test", optional);
	check_text(decision_tls_text(&d, arena), "enforced strict optional");
	unload();

	load("");
	d = decide("a@example.com", "b@partner.test", plain);
	check_text(decision_json(&d, arena), NULL);
	check_text(decision_tls_text(&d, arena), NULL);
	assert_false(d.learn);
	d = decide("a@example.com", "b@partner.test", require);
	check_text(decision_tls_text(&d, arena), "requiretls");
	unload();
}

/* A long name is cut, and stays JSON. */
static void
test_long_name(void **state)
{
	struct decision_input in = { 0 };
	char policies[2000];
	char name[901];

	(void)state;
	memset(name, '"', sizeof(name) - 1);
	for (size_t i = 0; i < sizeof(name) - 1; i += 2) {
		name[i] = '\\';
	}
	name[sizeof(name) - 1] = '\0';
	(void)snprintf(policies, sizeof(policies),
	               "secure_delivery = ( { narrative = \"%s\"; } );\n",
	               name);
	load(policies);
	struct decision d = decide("a@example.com", "b@partner.test", in);
	const char *text = decision_json(&d, arena);
	size_t len = strlen(text);
	assert_true(len > 159 && len < 400);
	assert_string_equal(text + len - 4, "\\\"\"}");
	unload();
}

static void
test_learns(void **state)
{
	static const struct {
		const char *recipient;
		enum decision_mail mail;
		bool outbound;
		bool learn;
	} rows[] = {
		{ "b@partner.test", DECISION_MAIL_PERSON, true, true },
		{ "b@partner.test", DECISION_MAIL_LIST, true, false },
		{ "b@partner.test", DECISION_MAIL_AUTOMATIC, true, false },
		{ "b@partner.test", DECISION_MAIL_PERSON, false, false },
		{ "b@shop.test", DECISION_MAIL_PERSON, true, false },
		{ "b@lists.test", DECISION_MAIL_PERSON, true, true },
		{ "b@lists.test", DECISION_MAIL_LIST, true, true },
		{ "b@lists.test", DECISION_MAIL_AUTOMATIC, true, false },
		{ "b@example.com", DECISION_MAIL_PERSON, false, false },
		{ "b@example.com", DECISION_MAIL_PERSON, true, false },
	};

	(void)state;
	load("auto_allow_creation = (\n"
	     "  { from = \"internal\"; to = \"external\"; },\n"
	     "  { from = \"internal\"; to = \"domain:shop.test\";"
	     " option = \"do_not_generate\"; },\n"
	     "  { from = \"internal\"; to = \"domain:lists.test\";"
	     " list_mail = true; } );\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct decision_input in = { .mail = rows[i].mail,
			                     .outbound = rows[i].outbound };
		struct decision d =
			decide("a@example.com", rows[i].recipient, in);
		if (d.learn != rows[i].learn) {
			fail_msg("row %zu", i);
		}
	}
	unload();
}

/* Who won by scopes, and what signs: that it may be is not asked of scopes. */
static void
test_signs(void **state)
{
	struct decision_input proved = { .may_sign = true };
	struct decision_input stranger = { .may_sign = false };
	struct decision_input author = { .may_sign = true };
	struct decision d;

	(void)state;
	conf = common_conf_loads(
		BASE "definitions = { dns_authentication = ( { name = \"a b\";"
		     " domain = \"example.com\"; selector = \"r\"; key_file ="
		     " \"dkim.key\"; }, { name = \"e\"; domain = "
		     "\"example.com\"; selector = \"e\"; key_file = "
		     "\"dkim.key\"; } ); };\npolicies = { dns_authentication = "
		     "( { narrative = \"both\"; definition = ( \"e\", \"a b\" "
		     "); }, { narrative = \"bank\"; to = \"domain:bank.test\";"
		     " definition = \"a b\"; }, { narrative = \"boss\"; from ="
		     " \"address:boss@example.com\"; based_on = \"header\"; "
		     "definition = \"e\"; } ); dns_authentication_inbound = ( "
		     "{ narrative = \"in\"; from = \"external\"; } ); };\n");
	compiled = select_new(conf);
	arena = arena_new(1024);
	d = decide("a@example.com", "b@partner.test", proved);
	check_text(decision_sign_text(&d, arena), "e\na b");
	check_text(decision_json(&d, arena),
	           "{\"dns_authentication\":\"both\"}");
	d = decide("a@example.com", "b@bank.test", proved);
	check_text(decision_sign_text(&d, arena), "a b");
	author.question.header_from = "boss@example.com";
	d = decide("a@example.com", "b@bank.test", author);
	check_text(decision_sign_text(&d, arena), "e");
	d = decide("", "b@bank.test", proved);
	check_text(decision_sign_text(&d, arena), "a b");
	d = decide("b@partner.test", "a@example.com", stranger);
	check_text(decision_sign_text(&d, arena), NULL);
	assert_null(d.sign);
	assert_string_equal(
		d.answer.winners[CONF_POLICY_DNS_AUTHENTICATION_INBOUND]
			->narrative,
		"in");
	check_text(decision_json(&d, arena),
	           "{\"dns_authentication\":\"both\","
	           "\"dns_authentication_inbound\":\"in\"}");
	unload();

	load("");
	d = decide("a@example.com", "b@partner.test", proved);
	check_text(decision_sign_text(&d, arena), NULL);
	unload();
}

/* Exclusion wins, and what may not be edited is not; who won is told all the
 * same (rule 3, B41). */
static void
test_stationery(void **state)
{
	struct decision_input in = { .outbound = true,
		                     .may_edit = true,
		                     .mail = DECISION_MAIL_PERSON };
	struct decision d;

	(void)state;
	common_conf_write(common_conf_dir, "l.txt", "Example Ltd\n", 0644);
	conf = common_conf_loads(
		"%sdefinitions = { stationery_layouts = ( { name = \"all\"; "
		"text_file = \"l.txt\"; }, { name = \"few\"; "
		"text_file = \"l.txt\"; } ); };\n"
		"policies = { stationery = ( { layout = \"all\"; }, "
		"{ to = \"domain:few.test\"; layout = \"few\"; "
		"automatic_mail = false; } );\n"
		"stationery_exclusion = ( "
		"{ from = \"address:alerts@example.com\"; } ); };\n",
		BASE);
	compiled = select_new(conf);
	d = decide("a@example.com", "b@partner.test", in);
	assert_non_null(d.stationery);
	assert_string_equal(d.stationery->layout, "all");
	d = decide("a@example.com", "b@few.test", in);
	assert_string_equal(d.stationery->layout, "few");
	d = decide("alerts@example.com", "b@few.test", in);
	assert_null(d.stationery);
	assert_non_null(d.answer.winners[CONF_POLICY_STATIONERY]);

	in.mail = DECISION_MAIL_LIST;
	d = decide("a@example.com", "b@few.test", in);
	assert_non_null(d.stationery);
	in.mail = DECISION_MAIL_AUTOMATIC;
	d = decide("a@example.com", "b@few.test", in);
	assert_null(d.stationery);
	d = decide("a@example.com", "b@partner.test", in);
	assert_non_null(d.stationery);

	in.may_edit = false;
	d = decide("a@example.com", "b@partner.test", in);
	assert_null(d.stationery);
	assert_non_null(d.answer.winners[CONF_POLICY_STATIONERY]);
	select_free(&compiled);
	conf_unref(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_learns),
		cmocka_unit_test(test_signs),
		cmocka_unit_test(test_stationery),
	};

	return cmocka_run_group_tests_name(
		"decision", tests, common_conf_set_up, common_conf_tear_down);
}
