/*
 * The dump is configuration that gives the same snapshot, and a reload knows
 * what it may not change. The commented example, with everything in it
 * switched on, is the richest file at hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_conf_load.h"

static char *
dump_text(const struct conf *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(conf_dump(c, out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL) {
		assert_ptr_equal(a, b);
	} else {
		assert_string_equal(a, b);
	}
}

static void
same_scope(const struct conf_scope *a, const struct conf_scope *b)
{
	assert_int_equal(a->kind, b->kind);
	same_text(a->value, b->value);
}

static void
same_policy(const struct conf_policy *a, const struct conf_policy *b)
{
	assert_int_equal(a->type, b->type);
	same_text(a->narrative, b->narrative);
	same_scope(&a->from, &b->from);
	same_scope(&a->to, &b->to);
	assert_true(a->enabled == b->enabled);
	assert_true(a->override == b->override);
	assert_true(a->bidirectional == b->bidirectional);
	assert_int_equal(a->based_on, b->based_on);
	assert_true(a->valid_from_ms == b->valid_from_ms);
	assert_true(a->valid_to_ms == b->valid_to_ms);
	assert_int_equal(a->source_ips_n, b->source_ips_n);
	same_text(a->option, b->option);
	same_text(a->encryption_mode, b->encryption_mode);
	same_text(a->ssl_mode, b->ssl_mode);
	same_text(a->untrusted, b->untrusted);
	assert_true(a->honour_dane == b->honour_dane);
	assert_true(a->honour_mta_sts == b->honour_mta_sts);
	same_text(a->ca_file, b->ca_file);
	same_text(a->certificate, b->certificate);
	same_text(a->key, b->key);
	same_text(a->tls_version, b->tls_version);
	same_text(a->client_certificate, b->client_certificate);
	assert_true(a->list_mail == b->list_mail);
	assert_int_equal(a->fingerprints_n, b->fingerprints_n);
	for (size_t i = 0; i < a->fingerprints_n; i++) {
		same_text(a->fingerprints[i], b->fingerprints[i]);
	}
	assert_int_equal(a->definitions_n, b->definitions_n);
	for (size_t i = 0; i < a->definitions_n; i++) {
		same_text(a->definitions[i], b->definitions[i]);
	}
	same_text(a->spf_fail, b->spf_fail);
	same_text(a->spf_softfail, b->spf_softfail);
	same_text(a->dkim_fail, b->dkim_fail);
	same_text(a->dmarc_fail, b->dmarc_fail);
	same_text(a->layout, b->layout);
	assert_true(a->automatic_mail == b->automatic_mail);
}

static void
same_layout(const struct conf_layout *a, const struct conf_layout *b)
{
	same_text(a->name, b->name);
	same_text(a->html_file, b->html_file);
	same_text(a->text_file, b->text_file);
	same_text(a->unique_text, b->unique_text);
	same_text(a->placement, b->placement);
	same_text(a->tnef, b->tnef);
	same_text(a->signed_mail, b->signed_mail);
	same_text(a->on_failure, b->on_failure);
	assert_true(a->text_from_html == b->text_from_html);
	same_text(a->html.data, b->html.data);
	same_text(a->text.data, b->text.data);
	assert_int_equal(a->images_n, b->images_n);
}

static void
same_lists(const struct conf *a, const struct conf *b)
{
	assert_int_equal(a->sources_n, b->sources_n);
	for (size_t i = 0; i < a->sources_n; i++) {
		assert_memory_equal(&a->sources[i].network,
		                    &b->sources[i].network,
		                    sizeof(struct net_prefix));
		assert_int_equal(a->sources[i].require, b->sources[i].require);
		same_text(a->sources[i].certificate_name,
		          b->sources[i].certificate_name);
		same_text(a->sources[i].description, b->sources[i].description);
	}
	assert_int_equal(a->domains_n, b->domains_n);
	for (size_t i = 0; i < a->domains_n; i++) {
		const struct conf_route *x = a->domains[i].route;
		const struct conf_route *y = b->domains[i].route;
		same_text(a->domains[i].domain, b->domains[i].domain);
		same_text(x == NULL ? NULL : x->name,
		          y == NULL ? NULL : y->name);
		assert_true(a->domains[i].send_only == b->domains[i].send_only);
	}
	assert_int_equal(a->routes_n, b->routes_n);
	for (size_t i = 0; i < a->routes_n; i++) {
		same_text(a->routes[i].name, b->routes[i].name);
		same_text(a->routes[i].maildir, b->routes[i].maildir);
		assert_int_equal(a->routes[i].hosts_n, b->routes[i].hosts_n);
		for (size_t j = 0; j < a->routes[i].hosts_n; j++) {
			const struct conf_hop *x = &a->routes[i].hosts[j];
			const struct conf_hop *y = &b->routes[i].hosts[j];
			same_text(x->host, y->host);
			assert_int_equal(x->port, y->port);
			assert_true(x->is_address == y->is_address);
		}
	}
	assert_int_equal(a->dkim_n, b->dkim_n);
	for (size_t i = 0; i < a->dkim_n; i++) {
		same_text(a->dkim[i].name, b->dkim[i].name);
		same_text(a->dkim[i].domain, b->dkim[i].domain);
		same_text(a->dkim[i].selector, b->dkim[i].selector);
		same_text(a->dkim[i].key_file, b->dkim[i].key_file);
		assert_true(a->dkim[i].expire_ms == b->dkim[i].expire_ms);
	}
	assert_int_equal(a->layouts_n, b->layouts_n);
	for (size_t i = 0; i < a->layouts_n; i++) {
		same_layout(&a->layouts[i], &b->layouts[i]);
	}
	assert_int_equal(a->policies_n, b->policies_n);
	for (size_t i = 0; i < a->policies_n; i++) {
		same_policy(&a->policies[i], &b->policies[i]);
	}
}

/* Single values by memory where a group holds nothing but numbers. */
static void
same_snapshot(const struct conf *a, const struct conf *b)
{
	same_text(a->gateway.hostname, b->gateway.hostname);
	same_text(a->gateway.certificate, b->gateway.certificate);
	same_text(a->gateway.key, b->gateway.key);
	same_text(a->gateway.ca_file, b->gateway.ca_file);
	same_text(a->gateway.client_ca_file, b->gateway.client_ca_file);
	same_text(a->gateway.auth_file, b->gateway.auth_file);
	same_text(a->gateway.state_dir, b->gateway.state_dir);
	same_text(a->gateway.api_socket, b->gateway.api_socket);
	same_text(a->gateway.spf_include, b->gateway.spf_include);
	assert_int_equal(a->gateway.listen_n, b->gateway.listen_n);
	assert_int_equal(a->gateway.egress_n, b->gateway.egress_n);
	assert_memory_equal(&a->admission, &b->admission, sizeof(a->admission));
	assert_true(a->limits.message_size == b->limits.message_size);
	assert_true(a->limits.memory == b->limits.memory);
	assert_true(a->limits.data_timeout_ms == b->limits.data_timeout_ms);
	assert_int_equal(a->limits.idle_commands, b->limits.idle_commands);
	assert_memory_equal(&a->managed_senders, &b->managed_senders,
	                    sizeof(a->managed_senders));
	assert_true(a->tracking.attempts_ms == b->tracking.attempts_ms);
	assert_int_equal(a->mta_sts.port, b->mta_sts.port);
	assert_true(a->mta_sts.timeout_ms == b->mta_sts.timeout_ms);
	assert_true(a->tls_reports.send == b->tls_reports.send);
	same_text(a->tls_reports.contact, b->tls_reports.contact);
	same_text(a->tls_reports.organization, b->tls_reports.organization);
	assert_int_equal(a->delivery.port, b->delivery.port);
	assert_int_equal(a->delivery.retry.n, b->delivery.retry.n);
	assert_memory_equal(a->delivery.retry.delays_ms,
	                    b->delivery.retry.delays_ms,
	                    a->delivery.retry.n * sizeof(int64_t));
	assert_int_equal(a->delivery.forbidden_n, b->delivery.forbidden_n);
	assert_int_equal(a->resolver.local_data_n, b->resolver.local_data_n);
	assert_int_equal(a->groups_n, b->groups_n);
	same_text(a->directory.file, b->directory.file);
	assert_true(a->directory.check_ms == b->directory.check_ms);
	same_lists(a, b);
}

static void
round_trip(const char *text)
{
	struct conf *a = common_conf_load(text);
	struct conf *b = NULL;
	char *first = NULL;
	char *second = NULL;

	common_conf_print();
	assert_non_null(a);
	first = dump_text(a);
	b = common_conf_load(first);
	common_conf_print();
	assert_non_null(b);
	same_snapshot(a, b);
	assert_null(conf_reload_blocker(a, b));
	second = dump_text(b);
	assert_string_equal(first, second);
	free(first);
	free(second);
	conf_unref(&a);
	conf_unref(&b);
}

static void
smallest_file(void **state)
{
	(void)state;
	round_trip(BASE);
}

/* Strings that need care in configuration syntax. */
static void
hard_strings(void **state)
{
	(void)state;
	round_trip(
		TLS
		"authorized_outbound = ( { network = \"1.2.3.4\"; description "
		"= \"a \\\"b\\\" \\\\ caf\xc3\xa9 @include # // /* 99999999999\""
		"; }, { network = \"::/0\"; require = \"certificate\"; "
		"certificate_name = \"Client 1\"; } );\n"
		"resolver = { local_data = \"b.test TXT \\\"v=spf1 -all\\\"\"; "
		"};\n"
		"limits = { message_size = \"1025\"; command_timeout = "
		"\"61s\"; };\n"
		"delivery = { retry = ( \"1m\", \"60s\", \"1m\", \"90s\" ); "
		"forbidden_networks = ( ); };\n"
		"routes = ( { name = \"r\"; hosts = ( \"[::1]:2\", \"::1\", "
		"\"1.2.3.4\", \"a.b:5\" ); } );\n");
}

/* What has no effect is refused in a file, so the dump must leave it out; what
 * has one must stay. */
static void
policies_about_tls(void **state)
{
#define D "secure_delivery"
#define R "secure_receipt"

	static const struct {
		const char *type;
		const char *fields;
	} cases[] = {
		{ D, "" },
		{ D, "honour = ( );" },
		{ D, "honour = \"dane\"; untrusted = \"clear\";" },
		{ D, "untrusted = \"defer\"; ssl_mode = \"strong\";" },
		{ D, "encryption_mode = \"relaxed\"; honour = \"mta_sts\";" },
		{ D, "encryption_mode = \"relaxed\"; ssl_mode = \"strong\"; "
		     "certificate = \"gw.pem\"; key = \"gw.key\";" },
		{ D, "option = \"enforced_tls\"; ca_file = \"gw.pem\";" },
		{ D, "option = \"enforced_tls\"; "
		     "encryption_mode = \"relaxed\";" },
		{ D, "option = \"no_tls\";" },
		{ D, "option = \"no_tls\"; honour = ( );" },
		{ R, "" },
		{ R, "encryption_mode = \"relaxed\"; ssl_mode = "
		     "\"default\";" },
		{ R, "option = \"no_tls\";" },
		{ R, "option = \"enforced_tls\";" },
		{ R, "option = \"enforced_tls\"; tls_version = \"1.3\"; "
		     "ssl_mode = \"strong\";" },
		{ R, "option = \"enforced_tls\"; "
		     "client_certificate = \"required\";" },
		{ R, "option = \"enforced_tls\"; "
		     "client_certificate = \"required\"; "
		     "encryption_mode = \"relaxed\";" },
	};

	char text[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s %s\n", cases[i].type, cases[i].fields);
		(void)snprintf(text, sizeof(text),
		               TLS SOURCES "policies = { %s = ( { %s } ); };\n",
		               cases[i].type, cases[i].fields);
		round_trip(text);
	}
	round_trip(TLS SOURCES
	           "tls_reports = { send = true; organization = \"O\"; contact "
	           "= \"\\\"a b\\\"@B\xc3\x9c"
	           "CHER.example\"; };\n"
	           "managed_senders = { per_message = 0; per_sender = \"off\"; "
	           "local_part = \"exact\"; expire = \"1d\"; };\n");
}

/* The example with all its settings switched on. */
static char *
example_text(void)
{
	char *text = common_conf_read("conf/sortie.conf.example");
	char *p = text;

	while (p != NULL && *p != '\0') {
		if (strncmp(p, "#   ", 4) == 0) {
			*p = ' ';
		}
		p = strchr(p, '\n');
		p = p == NULL ? NULL : p + 1;
	}
	return text;
}

static void
example_with_everything(void **state)
{
	char *text = example_text();
	char users[500];

	(void)state;
	(void)snprintf(users, sizeof(users), "relay:%s\n", common_conf_hash);
	common_conf_write(common_conf_dir, "users", users, 0600);
	common_conf_write(common_conf_dir, "root.key", ". IN DS 1\n", 0644);
	common_conf_write_pair(common_conf_dir, "tls/gateway.key",
	                       "tls/gateway.pem", "gw1.example.net", 90);
	common_conf_write_pair(common_conf_dir, "tls/bank-ca.key",
	                       "tls/bank-ca.pem", "bank.example", 90);
	common_conf_write_key(common_conf_dir, "dkim/example.com.pem", "RSA",
	                      2048);
	common_conf_write(common_conf_dir, "stationery/corporate.html",
	                  "<p>Example Ltd</p>\n", 0644);
	common_conf_write(common_conf_dir, "stationery/corporate.txt",
	                  "Example Ltd\n", 0644);
	common_conf_write(common_conf_dir, "people.csv", "address\n", 0644);
	round_trip(text);
	free(text);
}

/* As it is shipped, the example loads in this version. */
static void
example_as_shipped(void **state)
{
	char *text = common_conf_read("conf/sortie.conf.example");
	char path[COMMON_CONF_PATH_MAX + 20];
	struct conf *c = NULL;

	(void)state;
	common_conf_write(common_conf_dir, "shipped.conf", text, 0644);
	free(text);
	(void)snprintf(path, sizeof(path), "%s/shipped.conf", common_conf_dir);
	c = conf_load(path, &common_conf_findings);
	common_conf_print();
	assert_non_null(c);
	conf_unref(&c);
}

static void
dump_that_cannot_be_written(void **state)
{
	struct conf *c = common_conf_load(BASE);
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(c);
	assert_non_null(full);
	assert_int_equal(conf_dump(c, full), -1);
	(void)fclose(full);
	conf_unref(&c);
}

static void
reload_blockers(void **state)
{
#define G(fields)                                                              \
	SOURCES DOMAINS "gateway = { hostname = \"gw1.example.net\"; " fields  \
			"};"

	static const struct {
		const char *text;
		const char *blocker;
	} cases[] = {
		{ G(""), NULL },
		{ G("reactors = 2;"), "gateway.reactors" },
		{ G("workers = 2;"), "gateway.workers" },
		{ G("state_dir = \"/x\";"), "gateway.state_dir" },
		{ G("api_socket = \"/x\";"), "gateway.api_socket" },
		{ G("listen = \"0.0.0.0:25\";"), "gateway.listen" },
		{ G("listen = ( \"0.0.0.0:25\", \"[::]:26\" );"),
		  "gateway.listen" },
		{ G("listen = ( \"0.0.0.0:25\", { address = \"[::]:25\"; "
		    "proxy = \"::1\"; } );"),
		  "gateway.listen" },
		{ G("listen = ( \"0.0.0.0:25\", \"[::]:25\" );"), NULL },
		{ G("egress = \"192.0.2.1\";"), NULL },
		{ G("spf_include = \"a.example\";"), NULL },
		{ G("") "resolver = { timeout = \"9s\"; };",
		  "resolver.timeout" },
		{ G("") "resolver = { servers = \"127.0.0.1\"; };",
		  "resolver.servers" },
		{ G("") "resolver = { local_data = \"a.test A 1.2.3.4\"; };",
		  "resolver.local_data" },
		{ G("") "resolver = { trust_anchor = \"layout.txt\"; };",
		  "resolver.trust_anchor" },
		{ G("") "limits = { hops = 3; message_size = \"1M\"; };",
		  NULL },
		{ G("") "delivery = { port = 26; retry = \"1m\"; };", NULL },
		{ G("") "admission = { refuse = \"permanent\"; };", NULL },
		{ G("") "routes = { name = \"a\"; hosts = \"b\"; };", NULL },
	};
	struct conf *old_conf = common_conf_load(BASE);

	(void)state;
	assert_non_null(old_conf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = common_conf_load(cases[i].text);
		print_message("case %zu\n", i);
		common_conf_print();
		assert_non_null(c);
		same_text(conf_reload_blocker(old_conf, c), cases[i].blocker);
		conf_unref(&c);
	}
	conf_unref(&old_conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smallest_file),
		cmocka_unit_test(hard_strings),
		cmocka_unit_test(policies_about_tls),
		cmocka_unit_test(example_with_everything),
		cmocka_unit_test(example_as_shipped),
		cmocka_unit_test(dump_that_cannot_be_written),
		cmocka_unit_test(reload_blockers),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
