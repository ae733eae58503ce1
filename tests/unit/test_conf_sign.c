/*
 * DNS authentication in the configuration: keys of every kind (checklist B37,
 * A3.16), definitions, and warnings of policies that sign nothing, do not
 * align or never hold, and of no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "tests/unit/common_conf_load.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- keys ----------------------------------------------------------- */

static FILE *
create(const char *name, mode_t mode)
{
	char path[COMMON_CONF_PATH_MAX + 40];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", common_conf_dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fchmod(fileno(f), mode), 0);
	return f;
}

/* An Ed25519 key, so often, encrypted or not, or its public half. */
static void
write_keys(const char *name, unsigned times, const EVP_CIPHER *cipher,
           bool public)
{
	char passphrase[] = "TOPSECRET";
	FILE *f = create(name, 0600);
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	assert_non_null(key);
	for (unsigned i = 0; i < times; i++) {
		assert_int_equal(
			public ? PEM_write_PUBKEY(f, key)
			       : PEM_write_PKCS8PrivateKey(
					 f, key, cipher,
					 cipher == NULL ? NULL : passphrase,
					 cipher == NULL ? 0 : 9, NULL, NULL),
			1);
	}
	EVP_PKEY_free(key);
	assert_int_equal(fclose(f), 0);
}

static void
write_key_of(const char *name, const char *type, size_t bits)
{
	FILE *f = create(name, 0600);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	assert_non_null(ctx);
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	if (bits > 0) {
		assert_int_equal(
			EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits), 1);
	}
	assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
	assert_int_equal(
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(ctx);
	assert_int_equal(fclose(f), 0);
}

static void
write_all_keys(void)
{
	write_key_of("rsa1023.key", "RSA", 1023);
	write_key_of("rsa2047.key", "RSA", 2047);
	write_key_of("rsa2048.key", "RSA", 2048);
	write_key_of("rsa4098.key", "RSA", 4098);
	write_key_of("ed448.key", "ED448", 0);
	write_key_of("pss.key", "RSA-PSS", 2048);
	write_keys("secret.key", 1, EVP_aes_128_cbc(), false);
	write_keys("two.key", 2, NULL, false);
	write_keys("public.key", 1, NULL, true);
	write_keys("read.key", 1, NULL, false);
	common_conf_write(common_conf_dir, "empty.key", "", 0600);
	common_conf_write(common_conf_dir, "cut.key",
	                  "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n",
	                  0600);
}

struct key_row {
	const char *file;
	mode_t mode;
	const char *error; /* NULL: good */
	const char *warning;
};

static void
check_key(const struct key_row *r)
{
	char *text = mem_printf(
		BASE "definitions = { dns_authentication = ( { "
		     "name = \"d\"; domain = \"example.com\"; "
		     "selector = \"s\";\nkey_file = \"%s\"; } ); };\n",
		r->file);
	char *path = mem_printf("%s/%s", common_conf_dir, r->file);
	struct conf *c = NULL;

	if (r->mode != 0) {
		assert_int_equal(chmod(path, r->mode), 0);
	}
	c = common_conf_load(text);
	print_message("key %s, mode %o\n", r->file, (unsigned)r->mode);
	common_conf_print();
	assert_true((c == NULL) == (r->error != NULL));
	assert_true(r->error == NULL || common_conf_has(false, 5, r->error));
	assert_true(common_conf_has(true, 5, "bits is weak") ==
	            (r->warning != NULL));
	assert_true(r->warning == NULL || common_conf_has(true, 5, r->warning));
	assert_true(common_conf_findings.errors == (r->error == NULL ? 0 : 1));
	/* No secret in a finding. */
	assert_false(common_conf_has(false, 0, "TOPSECRET"));
	assert_false(common_conf_has(false, 0, "MC4C"));
	conf_unref(&c);
	free(path);
	free(text);
}

static void
b37_keys(void **state)
{
	static const struct key_row rows[] = {
		{ "dkim.key", 0600, NULL, NULL },
		{ "dkim.key", 0640, NULL, NULL },
		{ "rsa2048.key", 0600, NULL, NULL },
		{ "rsa2047.key", 0600, NULL, "2047 bits is weak" },
		{ "dkim1024.key", 0600, NULL, "1024 bits is weak" },
		{ "rsa1023.key", 0600, "1023 bits is too short", NULL },
		{ "dkim512.key", 0600, "512 bits is too short", NULL },
		{ "rsa4098.key", 0600, "4098 bits is longer than receivers",
		  NULL },
		{ "ed448.key", 0600,
		  "is neither an RSA nor an Ed25519 key but ED448", NULL },
		{ "pss.key", 0600,
		  "is neither an RSA nor an Ed25519 key but RSA-PSS", NULL },
		{ "gw.key", 0600, "is neither an RSA nor an Ed25519 key but EC",
		  NULL },
		{ "secret.key", 0600,
		  "holds a key with a passphrase, which nobody could give at "
		  "start; write it without: openssl pkey",
		  NULL },
		{ "two.key", 0600, "holds more than one private key", NULL },
		{ "public.key", 0600, "holds a public key; name the file",
		  NULL },
		{ "gw.pem", 0600, "holds no PEM private key", NULL },
		{ "empty.key", 0600, "holds no PEM private key", NULL },
		{ "cut.key", 0600, "holds no PEM private key", NULL },
		{ "nowhere.key", 0,
		  "nowhere.key: No such file or directory; make the key with "
		  "sortie dkim new",
		  NULL },
		{ ".", 0, "is not a regular file", NULL },
		{ "read.key", 0644, "is open to others; run chmod o= on it",
		  NULL },
		{ "read.key", 0604, "is open to others", NULL },
		{ "read.key", 0602, "is open to others", NULL },
		{ "read.key", 0660,
		  "is writable by its group; run chmod g-w on it", NULL },
		{ "read.key", 0600, NULL, NULL },
	};

	(void)state;
	write_all_keys();
	for (size_t i = 0; i < COUNT(rows); i++) {
		check_key(&rows[i]);
	}
}

/* ---- definitions ---------------------------------------------------- */

#define DKIM(fields)                                                           \
	BASE "definitions = { dns_authentication = ( { "                       \
	     "selector = \"s\"; key_file = \"dkim.key\";\n" fields             \
	     " } ); };\n" /* line 5 */

static void
definitions(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} bad[] = {
		{ DKIM("name = \"a\\nb\"; domain = \"example.com\";"),
		  "name: has a control character in it" },
		{ DKIM("name = \"a\\x7f\"; domain = \"example.com\";"),
		  "name: has a control character in it" },
		{ DKIM("name = \"\"; domain = \"example.com\";"),
		  "name: is empty" },
		{ DKIM("name = \"d\"; domain = \"a b.example\";"), "domain" },
		{ DKIM("name = \"d\"; domain = \"example.com\"; "
		       "expire = \"31d\";"),
		  "expire: \"31d\" is out of range (0 to 2592000 seconds)" },
		{ DKIM("name = \"d\"; domain = \"example.com\"; "
		       "expire = \"14\";"),
		  "is no duration" },
		{ DKIM("name = \"d\"; domain = \"example.com\"; "
		       "expires = \"14d\";"),
		  "did you mean \"expire\"?" },
	};

	struct conf *c = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		c = common_conf_load(bad[i].text);
		print_message("expect %s\n", bad[i].error);
		common_conf_print();
		assert_null(c);
		assert_true(common_conf_has(false, 5, bad[i].error));
	}
	c = common_conf_loads(
		DKIM("name = \"d\"; domain = \"B\xc3\xbc"
	             "cher.example\"; expire = \"14d\"; }, { name = \"e\"; "
	             "domain = \"example.com\"; selector = \"T.x\"; "
	             "key_file = \"dkim.key\";"));
	assert_ptr_equal(conf_find_dkim(c, "d"), &c->dkim[0]);
	assert_ptr_equal(conf_find_dkim(c, "e"), &c->dkim[1]);
	assert_null(conf_find_dkim(c, "E"));
	assert_string_equal(c->dkim[0].domain, "xn--bcher-kva.example");
	assert_string_equal(c->dkim[1].selector, "t.x");
	assert_true(c->dkim[0].expire_ms == INT64_C(14) * 86400 * 1000);
	assert_true(c->dkim[1].expire_ms == 0);
	conf_unref(&c);
}

/* As many signatures as one message may get, and one more. */
static void
number_of_signatures(void **state)
{
	(void)state;
	for (int n = CONF_SIGNATURES_MAX; n <= CONF_SIGNATURES_MAX + 1; n++) {
		char *all = mem_printf(" ");
		char *names = mem_printf(" ");
		char *text = NULL;
		struct conf *c = NULL;

		for (int i = 0; i < n; i++) {
			char *more = mem_printf(
				"%s%s{ name = \"d%d\"; domain = "
				"\"example.com\"; selector = \"s%d\"; "
				"key_file = \"dkim.key\"; }",
				all, i == 0 ? "" : ",", i, i);

			free(all);
			all = more;
			more = mem_printf("%s%s\"d%d\"", names,
			                  i == 0 ? "" : ",", i);
			free(names);
			names = more;
		}
		text = mem_printf(BASE "definitions = { dns_authentication = "
		                       "(%s); }; policies = { "
		                       "dns_authentication = ( {\n"
		                       "definition = (%s); } ); };",
		                  all, names);
		c = common_conf_load(text);
		common_conf_print();
		if (n == CONF_SIGNATURES_MAX) {
			assert_non_null(c);
			assert_int_equal(c->policies[0].definitions_n, n);
			assert_string_equal(c->policies[0].definitions[7],
			                    "d7");
		} else {
			assert_null(c);
			assert_true(common_conf_has(false, 5,
			                            "definition: more than 8"));
		}
		conf_unref(&c);
		free(text);
		free(names);
		free(all);
	}
}

/* ---- warnings ------------------------------------------------------- */

#define KEY "key_file = \"dkim.key\"; selector = \"s\"; }"
/* "com", "org", "sub", "mail" and "far" sign; lines 1 to 3 and 5 to 9. */
#define WORLD                                                                  \
	"%s" GATEWAY SOURCES "groups = ( { name = \"staff\"; members = ( "     \
	"\"a@example.com\", \"b@example.org\" ); }, { name = \"friends\"; "    \
	"members = ( \"c@far.test\" ); }, { name = \"mixed\"; members = ( "    \
	"\"c@far.test\", \"a@example.com\" ); }, "                             \
	"{ name = \"nobody\"; members = ( ); } );\n"                           \
	"definitions = { dns_authentication = (\n"                             \
	"{ name = \"com\"; domain = \"example.com\"; " KEY ",\n"               \
	"{ name = \"org\"; domain = \"example.org\"; " KEY ",\n"               \
	"{ name = \"sub\"; domain = \"mail.example.com\"; " KEY ",\n"          \
	"{ name = \"far\"; domain = \"far.test\"; " KEY " ); };\n"             \
	"internal_domains = (\n%s );\n"                                        \
	"policies = { %s = (\n"                                                \
	"{ %s },\n{ %s } ); };\n" /* lines 12, 13 */

#define ONE   "\"example.com\""
#define TWO   ONE ", \"example.org\""
#define ALLOW "admission = { header_from = \"allow\"; }; "
#define OFF   "enabled = false; definition = \"com\";"

#define IDLE   "signs nothing"
#define ALIGN  "does not align with it (DMARC)"
#define AKIN   "aligns with it (DMARC) only if both"
#define SCOPE  "name a definition of "
#define AUTHOR "selects by the envelope: a From field of "
#define ANY    "lets mail with any From field out"

/* Of the two policies, the second is "enabled = false" where it is NULL. */
struct row {
	const char *before;
	const char *domains;
	const char *first;
	const char *second;
	const char *warned; /* at the first; NULL: nothing */
	const char *too;    /* at the second */
};

static const struct row rows[] = {
	/* One domain and its definition: nothing can go wrong. */
	{ "", ONE, "definition = \"com\";", NULL, NULL, NULL },
	{ "", ONE, "from = \"internal\"; definition = \"com\";", NULL, NULL,
	  NULL },
	{ "", ONE, "from = \"domain:example.com\"; definition = \"com\";", NULL,
	  NULL, NULL },
	{ "", ONE, "based_on = \"both\"; definition = ( \"com\" );", NULL, NULL,
	  NULL },
	/* A definition of another domain. */
	{ "", ONE, "definition = \"far\";", NULL,
	  "mail from example.com is signed by far.test, which " ALIGN "; " SCOPE
	  "example.com in a policy for it",
	  NULL },
	{ "", ONE, "definition = ( \"far\", \"com\" );", NULL, NULL, NULL },
	{ "", ONE, "definition = \"sub\";", NULL, NULL, NULL },
	{ "", "\"a.mail.example.com\"", "definition = \"sub\";", NULL, NULL,
	  NULL },
	{ "", "\"news.example.com\"", "definition = \"sub\";", NULL,
	  "mail from news.example.com is signed by mail.example.com, "
	  "which " AKIN,
	  NULL },
	{ "", "\"notexample.com\"", "definition = \"com\";", NULL, ALIGN,
	  NULL },
	{ "", "\"notexample.com\"", "definition = \"com\";", NULL,
	  "signed by example.com, which does", NULL },
	{ "", TWO, "from = \"internal\"; definition = \"com\";", NULL,
	  "mail from example.org is signed by example.com", NULL },
	{ "", TWO, "from = \"domain:example.org\"; definition = \"com\";", NULL,
	  "mail from example.org", NULL },
	{ "", TWO, "from = \"address:x@example.org\"; definition = \"com\";",
	  NULL, "mail from example.org", NULL },
	{ "", TWO, "from = \"group:staff\"; definition = \"com\";", NULL,
	  "mail from example.org", NULL },
	{ "", TWO, "from = \"group:staff\"; definition = ( \"com\", \"org\" );",
	  NULL, NULL, NULL },
	{ "", ONE ", \"a.example.org\"",
	  "from = \"domain:*.example.org\"; definition = \"com\";", NULL,
	  "mail from a.example.org", NULL },
	{ "", ONE,
	  "from = \"external\"; to = \"internal\"; bidirectional = true; "
	  "definition = \"far\";",
	  NULL, "mail from example.com", NULL },
	/* ... which a policy of the domain's own goes before. */
	{ "", TWO, "based_on = \"header\"; definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"header\"; "
	  "definition = \"org\";",
	  NULL, NULL },
	{ "", TWO, "based_on = \"header\"; definition = \"com\";",
	  "from = \"domain:example.org\"; definition = \"org\";",
	  "mail from example.org", AUTHOR },
	{ "", TWO,
	  "based_on = \"header\"; override = true; definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"header\"; "
	  "definition = \"org\";",
	  "mail from example.org", NULL },
	{ "", TWO, "based_on = \"header\"; definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"header\"; "
	  "to = \"external\"; definition = \"org\";",
	  "mail from example.org", NULL },
	{ "", TWO, "based_on = \"header\"; definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"header\"; "
	  "source_ips = \"203.0.113.1\"; definition = \"org\";",
	  "mail from example.org", NULL },
	{ "", TWO, "based_on = \"header\"; definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"header\"; "
	  "valid_to = \"2098-01-01T00:00:00Z\"; definition = \"org\";",
	  "mail from example.org", NULL },
	/* The From field of another internal domain. */
	{ "", TWO, "from = \"domain:example.com\"; definition = \"com\";",
	  "from = \"domain:example.org\"; definition = \"org\";",
	  "based_on = \"envelope\" " AUTHOR
	  "example.org may be signed by example.com, which " ALIGN
	  "; write based_on = \"header\"",
	  AUTHOR "example.com may be signed by example.org" },
	{ "", TWO,
	  "from = \"domain:example.com\"; based_on = \"header\"; "
	  "definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"header\"; "
	  "definition = \"org\";",
	  NULL, NULL },
	/* The first of the file wins where both hold. */
	{ "", TWO,
	  "from = \"domain:example.com\"; based_on = \"both\"; "
	  "definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"both\"; "
	  "definition = \"org\";",
	  "based_on = \"both\" " AUTHOR "example.org", NULL },
	{ "", TWO,
	  "from = \"domain:example.com\"; based_on = \"both\"; "
	  "override = true; definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"both\"; "
	  "override = true; definition = \"org\";",
	  "based_on = \"both\" " AUTHOR "example.org", NULL },
	{ "", TWO,
	  "from = \"domain:example.com\"; based_on = \"both\"; "
	  "definition = \"com\";",
	  "from = \"domain:example.org\"; based_on = \"both\"; "
	  "override = true; definition = \"org\";",
	  NULL, AUTHOR "example.com may be signed by example.org" },
	/* ... unless the second has the more specific to. */
	{ "", TWO,
	  "from = \"domain:example.com\"; based_on = \"both\"; "
	  "definition = \"com\";",
	  "from = \"domain:example.org\"; to = \"external\"; "
	  "based_on = \"both\"; definition = \"org\";",
	  AUTHOR "example.org", AUTHOR "example.com" },
	{ "", TWO, "definition = ( \"com\", \"org\" );", NULL, NULL, NULL },
	{ "", ONE ", \"sub.example.com\"", "definition = \"com\";", NULL, NULL,
	  NULL },
	/* From fields of everybody. */
	{ ALLOW, ONE, "definition = \"com\";", NULL,
	  ANY "; the signature by example.com", NULL },
	{ ALLOW, ONE, "from = \"domain:example.com\"; definition = \"com\";",
	  NULL, ANY, NULL },
	{ ALLOW, ONE,
	  "from = \"domain:example.com\"; based_on = \"both\"; "
	  "definition = \"com\";",
	  NULL, ANY, NULL },
	{ ALLOW, ONE,
	  "from = \"domain:example.com\"; based_on = \"header\"; "
	  "definition = \"com\";",
	  NULL, NULL, NULL },
	{ ALLOW, ONE,
	  "from = \"internal\"; based_on = \"header\"; definition = \"com\";",
	  NULL, NULL, NULL },
	{ ALLOW, ONE, "based_on = \"header\"; definition = \"com\";", NULL,
	  "write header_from = \"require_internal\", or from = \"internal\"",
	  NULL },
	/* Nothing to sign. */
	{ "", ONE, "from = \"external\"; definition = \"com\";", NULL, IDLE,
	  NULL },
	{ "", ONE, "from = \"domain:far.test\"; definition = \"far\";", NULL,
	  IDLE, NULL },
	{ "", ONE, "from = \"domain:*.example.com\"; definition = \"com\";",
	  NULL, IDLE, NULL },
	{ "", ONE, "from = \"address:x@far.test\"; definition = \"com\";", NULL,
	  IDLE, NULL },
	{ "", ONE, "from = \"group:friends\"; definition = \"com\";", NULL,
	  IDLE, NULL },
	{ "", ONE, "from = \"group:nobody\"; definition = \"com\";", NULL, IDLE,
	  NULL },
	{ "", ONE, "from = \"group:mixed\"; definition = \"com\";", NULL, NULL,
	  NULL },
	{ "", ONE,
	  "from = \"external\"; based_on = \"header\"; definition = \"com\";",
	  NULL, IDLE, NULL },
	{ ALLOW, ONE,
	  "from = \"external\"; based_on = \"header\"; definition = \"com\";",
	  NULL, ANY, NULL },
	{ "", ONE,
	  "from = \"external\"; to = \"internal\"; bidirectional = true; "
	  "definition = \"com\";",
	  NULL, NULL, NULL },
	/* Policies that do not count are let be. */
	{ "", ONE, "enabled = false; definition = \"far\";", NULL, NULL, NULL },
	{ "", ONE, "valid_to = \"2020-01-01T00:00:00Z\"; definition = \"far\";",
	  NULL, NULL, NULL },
};

static bool
warned(unsigned line)
{
	static const char *const all[] = {
		IDLE, ALIGN, AKIN, SCOPE, AUTHOR, ANY
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		if (common_conf_has(true, line, all[i])) {
			return true;
		}
	}
	return false;
}

static bool
is_as_told(unsigned line, const char *told)
{
	return warned(line) == (told != NULL) &&
	       (told == NULL || common_conf_has(true, line, told));
}

static void
signing(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct conf *c = common_conf_loads(
			WORLD, r->before, r->domains, "dns_authentication",
			r->first, r->second == NULL ? OFF : r->second);

		if (!is_as_told(12, r->warned) || !is_as_told(13, r->too)) {
			print_error("row %zu: %s | %s\n", i, r->first,
			            r->second == NULL ? "" : r->second);
			common_conf_print();
			fail();
		}
		conf_unref(&c);
	}
}

#define NONE_SIGNS "no dns_authentication policy signs mail from "

/* Domains that are left out. */
static void
unsigned_domains(void **state)
{
	static const struct {
		const char *domains;
		const char *first;
		unsigned line;
		const char *warned; /* NULL: nothing */
	} cases[] = {
		{ TWO, "enabled = false; definition = \"com\";", 0, NULL },
		{ TWO,
		  "valid_to = \"2020-01-01T00:00:00Z\"; definition = \"com\";",
		  0, NULL },
		{ TWO, "definition = \"com\";", 0, NULL },
		{ TWO, "from = \"internal\"; definition = \"com\";", 0, NULL },
		{ TWO, "from = \"domain:example.com\"; definition = \"com\";",
		  10,
		  NONE_SIGNS "example.org; make a key with sortie dkim "
		             "new" },
		{ ONE ",\n\"example.org\"",
		  "from = \"domain:example.com\"; definition = \"com\";", 11,
		  NONE_SIGNS "example.org; " },
		{ TWO, "from = \"group:staff\"; definition = \"com\";", 0,
		  NULL },
		{ TWO,
		  "from = \"address:a@example.org\"; definition = \"org\";", 10,
		  NONE_SIGNS "example.com; " },
		{ ONE ", \"a.example.com\", \"b.example.com\"",
		  "from = \"domain:*.example.com\"; definition = \"com\";", 10,
		  NONE_SIGNS "example.com; " },
		{ ONE, "from = \"external\"; definition = \"com\";", 10,
		  NONE_SIGNS "example.com; " },
		{ TWO,
		  "from = \"external\"; to = \"domain:example.com\"; "
		  "bidirectional = true; definition = \"com\";",
		  10, NONE_SIGNS "example.org; " },
		{ TWO ", \"a.b\", \"c.b\", \"d.b\", \"e.b\", \"f.b\", \"g.b\"",
		  "from = \"domain:example.com\"; definition = \"com\";", 10,
		  NONE_SIGNS "example.org, a.b, c.b, d.b, e.b and 2 more; " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct conf *c = common_conf_loads(WORLD, "", cases[i].domains,
		                                   "dns_authentication",
		                                   cases[i].first, OFF);
		const char *told = cases[i].warned;

		print_message("case %zu\n", i);
		common_conf_print();
		assert_true(common_conf_has(true, 0, NONE_SIGNS) ==
		            (told != NULL));
		assert_true(told == NULL ||
		            common_conf_has(true, cases[i].line, told));
		conf_unref(&c);
	}
}

#define OUTSIDE "holds for no mail from outside"

static void
inbound(void **state)
{
	static const struct {
		const char *fields;
		bool warned;
	} cases[] = {
		{ "", false },
		{ "from = \"external\"; to = \"internal\";", false },
		{ "from = \"internal\";", true },
		{ "from = \"domain:example.com\";", true },
		{ "from = \"domain:*.example.com\";", false },
		{ "from = \"domain:far.test\";", false },
		{ "from = \"address:a@example.com\";", true },
		{ "from = \"group:staff\";", true },
		{ "from = \"group:mixed\";", false },
		{ "from = \"group:nobody\";", true },
		{ "to = \"external\";", true },
		{ "to = \"domain:far.test\";", true },
		{ "to = \"group:mixed\";", false },
		/* A From field may be forged. */
		{ "from = \"internal\"; based_on = \"header\";", false },
		{ "from = \"internal\"; based_on = \"both\";", false },
		{ "from = \"internal\"; to = \"external\"; "
		  "based_on = \"header\";",
		  true },
		{ "from = \"internal\"; to = \"external\"; "
		  "bidirectional = true;",
		  false },
		{ "from = \"internal\"; bidirectional = true;", false },
		{ "from = \"internal\"; to = \"internal\"; "
		  "bidirectional = true;",
		  true },
		{ "from = \"internal\"; enabled = false;", false },
		{ "from = \"internal\"; valid_to = \"2020-01-01T00:00:00Z\";",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct conf *c = common_conf_loads(
			WORLD, "", TWO, "dns_authentication_inbound",
			cases[i].fields, "enabled = false;");

		if (common_conf_has(true, 12, OUTSIDE) != cases[i].warned ||
		    common_conf_has(true, 13, OUTSIDE)) {
			print_error("case %zu: %s\n", i, cases[i].fields);
			common_conf_print();
			fail();
		}
		conf_unref(&c);
	}
}

/* Defaults, and every word. */
static void
inbound_values(void **state)
{
	static const char *const words[] = { "take_no_action",
		                             "ignore_managed_sender", "hold",
		                             "reject", "honour_dmarc" };

	static const char *const names[] = { "spf_fail", "spf_softfail",
		                             "dkim_fail", "dmarc_fail" };

	struct conf *c = common_conf_loads(
		BASE "policies = { dns_authentication_inbound = ( { } ); };");
	const struct conf_policy *p = &c->policies[0];

	(void)state;
	assert_int_equal(p->type, CONF_POLICY_DNS_AUTHENTICATION_INBOUND);
	assert_string_equal(p->spf_fail, "take_no_action");
	assert_string_equal(p->spf_softfail, "take_no_action");
	assert_string_equal(p->dkim_fail, "take_no_action");
	assert_string_equal(p->dmarc_fail, "honour_dmarc");
	conf_unref(&c);
	for (size_t n = 0; n < COUNT(names); n++) {
		for (size_t w = 0; w < COUNT(words); w++) {
			bool good = w < 4 || n == 3;
			char *text = mem_printf(
				BASE "policies = { dns_authentication_inbound "
				     "= ( {\n%s = \"%s\"; } ); };",
				names[n], words[w]);
			const char *const *value = NULL;

			c = common_conf_load(text);
			assert_true((c != NULL) == good);
			assert_true(good ||
			            common_conf_has(false, 5, "is not one of"));
			if (good) {
				p = &c->policies[0];
				value = n == 0   ? &p->spf_fail
				        : n == 1 ? &p->spf_softfail
				        : n == 2 ? &p->dkim_fail
				                 : &p->dmarc_fail;
				assert_string_equal(*value, words[w]);
			}
			conf_unref(&c);
			free(text);
		}
	}
}

/* Many of a kind are counted, and do not crowd others out. */
static void
many_warnings(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct conf *c = NULL;
	unsigned said = 0;

	(void)state;
	assert_non_null(f);
	(void)fputs(BASE "definitions = { dns_authentication = ( { name = "
	                 "\"far\"; domain = \"far.test\"; " KEY
	                 " ); };\npolicies = { dns_authentication = (",
	            f);
	for (unsigned i = 0; i < 50; i++) {
		(void)fprintf(f,
		              "%s\n{ from = \"address:u%u@example.com\"; "
		              "definition = \"far\"; }",
		              i == 0 ? "" : ",", i);
	}
	(void)fputs(" ); };\n", f);
	assert_int_equal(fclose(f), 0);
	c = common_conf_load(text);
	free(text);
	common_conf_print();
	assert_non_null(c);
	for (unsigned line = 6; line < 56; line++) {
		said += common_conf_has(true, line, ALIGN) ? 1 : 0;
	}
	assert_int_equal(said, 20);
	assert_true(common_conf_has(true, 55,
	                            "the same of 30 more policies up to this "
	                            "one"));
	conf_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b37_keys),
		cmocka_unit_test(definitions),
		cmocka_unit_test(number_of_signatures),
		cmocka_unit_test(signing),
		cmocka_unit_test(unsigned_domains),
		cmocka_unit_test(inbound),
		cmocka_unit_test(inbound_values),
		cmocka_unit_test(many_warnings),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
