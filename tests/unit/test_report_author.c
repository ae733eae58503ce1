/*
 * From whom a report comes, and what signs it: the domain of ours that the
 * mail was about when its mail is signed, so that From and signature agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "daemon/deliver/deliver.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/report.h"
#include "store/envelope.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_snapshot.h"

/* clang-format off */
#define CONFIGURATION                                                          \
	GATEWAY SOURCES                                                        \
	"internal_domains = ( \"example.com\", \"example.org\" );\n"           \
	"delivery = { report_inbound = true; };\n"                             \
	"definitions = { dns_authentication = (\n"                             \
	" { name = \"com\"; domain = \"example.com\"; selector = \"s1\"; "     \
	"key_file = \"dkim.key\"; },\n"                                        \
	" { name = \"gate\"; domain = \"example.net\"; selector = \"s2\"; "    \
	"key_file = \"dkim.key\"; } ); };\n"                                   \
	"policies = { dns_authentication = ( %s ); };\n"
/* clang-format on */

#define COM "{ from = \"domain:example.com\"; definition = \"com\"; }"
#define HEADER                                                                 \
	"{ from = \"domain:example.com\"; based_on = \"header\"; "             \
	"definition = ( \"com\", \"gate\" ); }"
#define GATE                                                                   \
	"{ from = \"address:mailer-daemon@gw1.example.net\"; definition = "    \
	"\"gate\"; }"
#define ALL_MAIL "{ from = \"everyone\"; definition = \"gate\"; }"
#define INTERNAL "{ from = \"internal\"; definition = \"com\"; }"
#define TO_B                                                                   \
	"{ from = \"domain:example.com\"; to = \"address:b@x.test\"; "         \
	"definition = \"com\"; }"

#define AT_COM  "MAILER-DAEMON@example.com"
#define AT_ORG  "MAILER-DAEMON@example.org"
#define AT_GATE "MAILER-DAEMON@gw1.example.net"

static const struct {
	const char *policies;
	const char *sender;
	const char *domain; /* of the recipient that failed */
	const char *author;
	const char *sign;
} cases[] = {
	/* Outbound: the sender is ours. */
	{ "", "a@example.com", "x.test", AT_GATE, NULL },
	{ COM, "a@example.com", "x.test", AT_COM, "com" },
	{ HEADER, "a@example.com", "x.test", AT_COM, "com\ngate" },
	{ COM, "a@example.org", "x.test", AT_GATE, NULL },
	{ INTERNAL, "a@example.org", "x.test", AT_ORG, "com" },
	{ GATE, "a@example.com", "x.test", AT_GATE, "gate" },
	{ COM ", " GATE, "a@example.org", "x.test", AT_GATE, "gate" },
	{ ALL_MAIL, "a@example.com", "x.test", AT_COM, "gate" },
	/* Inbound: the recipient is. */
	{ COM, "a@x.test", "example.com", AT_COM, "com" },
	{ COM, "a@x.test", "example.org", AT_GATE, NULL },
	{ GATE, "a@x.test", "example.com", AT_GATE, "gate" },
	/* Both: the sender's before the recipient's. */
	{ INTERNAL, "a@example.com", "example.org", AT_COM, "com" },
	{ COM, "a@example.org", "example.com", AT_COM, "com" },
	/* By whom it is for. */
	{ TO_B, "a@x.test", "example.com", AT_GATE, NULL },
	{ TO_B, "b@x.test", "example.com", AT_COM, "com" },
	/* Nobody's. */
	{ ALL_MAIL, "a@x.test", "y.test", AT_GATE, "gate" },
};

static struct envelope *
make_message(const char *sender, const char *domain)
{
	static const char text[] = "Subject: x\r\n\r\nhello\r\n";
	struct envelope *env = envelope_new(id_new());

	env->received_ms = clock_wall_ms();
	env->sender = sender;
	env->hot = mem_strdup(text);
	env->hot_len = sizeof(text) - 1;
	env->content.len = env->hot_len;
	envelope_set_recipients(env, 1);
	env->recipients_total = 1;
	env->recipients[0].domain = domain;
	env->recipients[0].address = arena_printf(env->arena, "r@%s", domain);
	return env;
}

static void
check(size_t i)
{
	struct snapshot *s = common_snapshot(common_conf_dir, CONFIGURATION,
	                                     cases[i].policies);
	struct envelope *env = make_message(cases[i].sender, cases[i].domain);
	struct report *r = report_new(env, s);
	struct deliver_result res = { 0 };

	smtp_status_set(&res.status, STATUS_REPLY, STAGE_RCPT, 550, "", "no");
	report_add(r, &res, DSN_FAILED);
	struct envelope *dsn = report_envelope(r, NULL);
	assert_non_null(dsn);

	char *from = mem_printf("\r\nFrom: Mail Delivery System <%s>\r\n",
	                        cases[i].author);
	char *text = mem_strndup(dsn->hot, dsn->hot_len);
	const struct recipient *to = &dsn->recipients[0];
	print_message("%zu: %s signed by %s\n", i, cases[i].author,
	              to->sign != NULL ? to->sign : "nobody");
	assert_non_null(strstr(text, from));
	assert_string_equal(dsn->sender, "");
	if (cases[i].sign == NULL) {
		assert_null(to->sign);
		assert_null(to->decision);
	} else {
		assert_non_null(to->sign);
		assert_string_equal(to->sign, cases[i].sign);
		assert_non_null(strstr(to->decision, "dns_authentication"));
	}
	free(from);
	free(text);
	envelope_unref(&dsn);
	report_free(&r);
	envelope_unref(&env);
	snapshot_unref(&s);
}

static void
test_author(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check(i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_author),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
