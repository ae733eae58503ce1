/*
 * From file to snapshot: values and defaults arrive where they belong, and
 * look-ups find them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_conf_load.h"

static void
defaults(void **state)
{
	struct conf *c = common_conf_load(BASE);

	(void)state;
	assert_non_null(c);
	assert_int_equal(common_conf_findings.errors, 0);
	assert_string_equal(c->gateway.hostname, "gw1.example.net");
	assert_int_equal(c->gateway.listen_n, 2);
	assert_int_equal(c->gateway.listen[0].endpoint.addr.family, AF_INET);
	assert_int_equal(c->gateway.listen[0].endpoint.port, 25);
	assert_int_equal(c->gateway.listen[1].endpoint.addr.family, AF_INET6);
	assert_null(c->gateway.certificate);
	assert_null(c->gateway.auth_file);
	assert_null(c->gateway.spf_include);
	assert_string_equal(c->gateway.ca_file,
	                    "/etc/ssl/certs/ca-certificates.crt");
	assert_string_equal(c->gateway.client_ca_file, c->gateway.ca_file);
	assert_string_equal(c->gateway.state_dir, "/var/lib/sortie");
	assert_string_equal(c->gateway.api_socket, "/run/sortie/api.sock");
	assert_int_equal(c->gateway.reactors, 0);
	assert_true(c->limits.message_size == 200 * 1024 * 1024);
	assert_int_equal(c->limits.recipients, 100);
	assert_int_equal(c->limits.hops, 25);
	assert_int_equal(c->limits.connections, 2000);
	assert_int_equal(c->limits.connections_per_client, 50);
	assert_true(c->limits.header_size == 200 * 1024);
	assert_true(c->limits.memory == 16 * 1024 * 1024);
	assert_true(c->limits.command_timeout_ms == 300000);
	assert_true(c->limits.data_timeout_ms == 180000);
	assert_true(c->limits.transaction_timeout_ms == 3600000);
	assert_int_equal(c->limits.bad_commands, 100);
	assert_int_equal(c->limits.idle_commands, 1000);
	assert_int_equal(c->resolver.servers_n, 0);
	assert_true(c->resolver.timeout_ms == 10000);
	assert_int_equal(c->delivery.port, 25);
	assert_int_equal(c->delivery.retry.n, 5 + 9 + 6 + 9);
	assert_true(c->delivery.retry.delays_ms[0] == 60000);
	assert_true(c->delivery.retry.delays_ms[5] == 3600000);
	assert_true(c->delivery.retry.delays_ms[28] == 8 * 3600000);
	assert_true(c->delivery.expire_ms == INT64_C(96) * 3600000);
	assert_true(c->delivery.warn_after_ms == 3600000);
	assert_int_equal(c->delivery.connections_per_destination, 20);
	assert_int_equal(c->delivery.forbidden_n, 5);
	assert_true(c->delivery.connect_timeout_ms == 30000);
	assert_true(c->delivery.final_timeout_ms == 600000);
	assert_true(c->delivery.idle_timeout_ms == 5000);
	assert_int_equal(c->admission.refuse, CONF_REFUSE_TEMPORARY);
	assert_int_equal(c->admission.header_from,
	                 CONF_HEADER_FROM_REQUIRE_INTERNAL);
	assert_int_equal(c->sources_n, 1);
	assert_int_equal(c->sources[0].network.bits, 28);
	assert_int_equal(c->sources[0].require, CONF_PROOF_NONE);
	assert_string_equal(c->sources[0].description, "");
	assert_int_equal(c->domains_n, 1);
	assert_null(c->domains[0].route);
	assert_int_equal(c->policies_n, 0);
	conf_unref(&c);
}

static void
values_arrive(void **state)
{
	struct conf *c = common_conf_load(
		TLS "authorized_outbound = ( { network = \"198.51.100.7\"; "
		    "description = \"HQ\"; require = \"certificate\"; "
		    "certificate_name = \"mail.example.com\"; }, { network = "
		    "\"::ffff:192.0.2.0/120\"; require = \"auth\"; } );\n"
		    "resolver = { servers = ( \"127.0.0.1@5353\", \"::1\" ); "
		    "local_data = ( \"a.test. 300 IN MX 10 mx.a.test.\", "
		    "\"_25._tcp.mx.a.test. TLSA 3 1 1 abcd\", \"b.test TXT "
		    "\\\"v=spf1 -all\\\"\" ); };\n"
		    "routes = ( { name = \"hq\"; hosts = ( "
		    "\"Mail.Example.com:2525\", \"mx\", \"192.0.2.1:26\", "
		    "\"[2001:db8::1]:27\", \"[2001:db8::2]\", "
		    "\"2001:db8::3\" ); }, { name = \"box\"; maildir = "
		    "\"mail\"; } );\n"
		    "delivery = { port = 2526; retry = ( \"2*1s\", \"5m\" ); "
		    "forbidden_networks = ( ); };\n"
		    "admission = { refuse = \"permanent\"; header_from = "
		    "\"allow\"; };\n"
		    "groups = ( { name = \"g\"; members = \"CFO@Example.COM\"; "
		    "} );\n"
		    "tls_reports = { contact = \"TLS@B\xc3\xbc"
		    "cher.Example\"; };\n"
		    "limits = { message_size = \"1M\"; hops = 7; };\n");
	const struct conf_hop *hop = NULL;
	char path[COMMON_CONF_PATH_MAX + 20];

	(void)state;
	common_conf_print();
	assert_non_null(c);
	(void)snprintf(path, sizeof(path), "%s/gw.pem", common_conf_dir);
	assert_string_equal(c->gateway.certificate, path);
	assert_int_equal(c->sources[0].require, CONF_PROOF_CERTIFICATE);
	assert_string_equal(c->sources[0].certificate_name, "mail.example.com");
	assert_int_equal(c->sources[1].require, CONF_PROOF_AUTH);
	assert_int_equal(c->sources[1].network.addr.family, AF_INET);
	assert_int_equal(c->sources[1].network.bits, 24);
	assert_string_equal(c->resolver.servers[0], "127.0.0.1@5353");
	assert_string_equal(c->resolver.servers[1], "::1@53");
	assert_int_equal(c->resolver.local_data_n, 3);
	assert_int_equal(c->routes[0].hosts_n, 6);
	hop = c->routes[0].hosts;
	assert_string_equal(hop[0].host, "mail.example.com");
	assert_int_equal(hop[0].port, 2525);
	assert_false(hop[0].is_address);
	assert_int_equal(hop[1].port, 0);
	assert_true(hop[2].is_address);
	assert_int_equal(hop[2].port, 26);
	assert_true(hop[3].is_address);
	assert_string_equal(hop[3].host, "2001:db8::1");
	assert_int_equal(hop[3].port, 27);
	assert_int_equal(hop[4].port, 0);
	assert_int_equal(hop[5].address.family, AF_INET6);
	(void)snprintf(path, sizeof(path), "%s/mail", common_conf_dir);
	assert_string_equal(c->routes[1].maildir, path);
	assert_int_equal(c->delivery.retry.n, 3);
	assert_int_equal(c->delivery.forbidden_n, 0);
	assert_int_equal(c->admission.refuse, CONF_REFUSE_PERMANENT);
	assert_int_equal(c->admission.header_from, CONF_HEADER_FROM_ALLOW);
	assert_string_equal(c->groups[0].members[0], "CFO@example.com");
	assert_true(c->limits.message_size == 1024 * 1024);
	assert_int_equal(c->limits.hops, 7);
	assert_string_equal(c->tls_reports.contact,
	                    "TLS@xn--bcher-kva.example");
	conf_unref(&c);
}

static void
policy_values_arrive(void **state)
{
	struct conf *c = common_conf_load(
		BASE
		"groups = ( { name = \"g\"; members = ( ); } );\n"
		"policies = { secure_delivery = ( { }, { narrative = \"n\"; "
		"from = \"domain:*.Sub.Example\"; to = \"address:A@B.Example\";"
		" enabled = false; override = true; bidirectional = true; "
		"based_on = \"both\"; valid_from = \"2026-01-01T00:00:00Z\"; "
		"valid_to = \"2126-01-01T01:00:00+01:00\"; source_ips = ( "
		"\"10.0.0.0/8\", \"::1\" ); option = \"enforced_tls\"; "
		"encryption_mode = \"relaxed\"; ssl_mode = \"strong\"; "
		"honour = \"mta_sts\"; }, { untrusted = \"defer\"; "
		"honour = ( ); certificate = \"gw.pem\"; key = "
		"\"gw.key\"; fingerprints = ( \"sha256:"
		"00:11:22:33:44:55:66:77:88:99:AA:BB:cc:DD:EE:FF:"
		"00:11:22:33:44:55:66:77:88:99:AA:BB:cc:DD:EE:FF\", "
		"\"0011223344556677889900112233445566778899001122334455667788"
		"990011\" ); }, { ca_file = \"gw.pem\"; } ); "
		"auto_allow_creation = ( { list_mail = true; } ); auto_allow = { from = "
		"\"group:g\"; to = \"domain:Bank.example\"; }; };");
	const struct conf_policy *p = NULL;

	(void)state;
	common_conf_print();
	assert_non_null(c);
	assert_int_equal(c->policies_n, 6);
	p = &c->policies[0];
	assert_true(p->honour_dane && p->honour_mta_sts);
	assert_null(p->ca_file);
	assert_int_equal(p->fingerprints_n, 0);
	assert_int_equal(p->from.kind, CONF_SCOPE_EVERYONE);
	assert_true(p->enabled);
	assert_true(p->valid_from_ms == INT64_MIN);
	assert_true(p->valid_to_ms == INT64_MAX);
	assert_string_equal(p->option, "secure_smtp_where_possible");
	assert_string_equal(p->encryption_mode, "strict_trust_enforced");
	assert_string_equal(p->untrusted, "encrypt");
	assert_null(p->layout);
	p = &c->policies[1];
	assert_int_equal(p->from.kind, CONF_SCOPE_SUBDOMAIN);
	assert_string_equal(p->from.value, "sub.example");
	assert_int_equal(p->to.kind, CONF_SCOPE_ADDRESS);
	assert_string_equal(p->to.value, "A@b.example");
	assert_false(p->enabled);
	assert_true(p->override);
	assert_true(p->bidirectional);
	assert_int_equal(p->based_on, CONF_BASED_BOTH);
	assert_true(p->valid_from_ms == INT64_C(1767225600000));
	assert_true(p->valid_to_ms == INT64_C(4922899200000));
	assert_int_equal(p->source_ips_n, 2);
	assert_string_equal(p->ssl_mode, "strong");
	assert_true(!p->honour_dane && p->honour_mta_sts);
	p = &c->policies[2];
	assert_true(!p->honour_dane && !p->honour_mta_sts);
	assert_string_equal(p->untrusted, "defer");
	assert_non_null(strstr(p->certificate, "/gw.pem"));
	assert_non_null(strstr(p->key, "/gw.key"));
	assert_int_equal(p->fingerprints_n, 2);
	assert_string_equal(p->fingerprints[0],
	                    "00112233445566778899aabbccddeeff"
	                    "00112233445566778899aabbccddeeff");
	assert_non_null(strstr(c->policies[3].ca_file, "/gw.pem"));
	p = &c->policies[4];
	assert_int_equal(p->type, CONF_POLICY_AUTO_ALLOW_CREATION);
	assert_true(p->list_mail);
	p = &c->policies[5];
	assert_int_equal(p->type, CONF_POLICY_AUTO_ALLOW);
	assert_int_equal(p->from.kind, CONF_SCOPE_GROUP);
	assert_string_equal(p->from.value, "g");
	assert_string_equal(p->to.value, "bank.example");
	assert_null(p->encryption_mode);
	conf_unref(&c);
}

/* Look-ups are by hash: many domains, each found, none invented. */
static void
find_domain_among_many(void **state)
{
	enum {
		MANY = 5000
	};

	size_t size = 200 + MANY * 40;
	char *text = calloc(1, size);
	size_t len = 0;
	struct conf *c = NULL;
	char name[40];

	(void)state;
	assert_non_null(text);
	len = (size_t)snprintf(text, size,
	                       GATEWAY SOURCES "internal_domains = ( \"a.b\"");
	for (int i = 0; i < MANY; i++) {
		len += (size_t)snprintf(text + len, size - len,
		                        ",\"d%d.example.com\"", i);
	}
	(void)snprintf(text + len, size - len, " );");
	c = common_conf_load(text);
	free(text);
	assert_non_null(c);
	for (int i = 0; i < MANY; i++) {
		const struct conf_domain *d = NULL;
		(void)snprintf(name, sizeof(name), "d%d.example.com", i);
		d = conf_find_domain(c, name);
		assert_non_null(d);
		assert_string_equal(d->domain, name);
	}
	assert_null(conf_find_domain(c, "d5000.example.com"));
	assert_null(conf_find_domain(c, "x.d1.example.com"));
	assert_null(conf_find_domain(c, ""));
	assert_null(conf_find_route(c, "hq"));
	conf_unref(&c);
}

static void
references_count(void **state)
{
	struct conf *c = common_conf_load(BASE);
	struct conf *other = NULL;

	(void)state;
	assert_non_null(c);
	other = conf_ref(c);
	conf_unref(&c);
	assert_null(c);
	assert_string_equal(other->gateway.hostname, "gw1.example.net");
	conf_unref(&other);
	conf_unref(&other); /* NULL is fine */
}

static void
findings_are_counted_beyond_the_list(void **state)
{
	char text[20000] = BASE "limits = {";
	size_t len = strlen(text);

	(void)state;
	for (int i = 0; i < 300; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		                        "unknown%d = 1;\n", i);
	}
	(void)snprintf(text + len, sizeof(text) - len, "};");
	assert_null(common_conf_load(text));
	assert_int_equal(common_conf_findings.errors, 300);
	assert_true(common_conf_findings.n >= 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(values_arrive),
		cmocka_unit_test(policy_values_arrive),
		cmocka_unit_test(find_domain_among_many),
		cmocka_unit_test(references_count),
		cmocka_unit_test(findings_are_counted_beyond_the_list),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
