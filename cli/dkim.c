#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/zone.h"
#include "cli/command.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "dkim/key.h"

/*
 * "sortie dkim new": a key for signatures, and everything that has to be
 * written elsewhere for it. Works without a daemon, and with a configuration
 * that cannot be loaded. Never overwrites a file, and changes no other one.
 */

#define DNS_NAME_MAX      253
#define SELECTOR_MAX      63
#define PEM_SIZE          16384
#define RECORD_SIZE       4096
#define DEFAULT_STATE_DIR "/var/lib/sortie"

struct dkim_new {
	/* From the command line. */
	const char *domain_text;
	const char *selector_text;
	const char *out;
	const char *bits_text;
	bool ed25519;
	/* Made of it. */
	char domain[ADDRESS_DOMAIN_MAX + 1];
	char selector[ADDRESS_DOMAIN_MAX + 1];
	unsigned bits;
	char *name;           /* of the record */
	char *folder;         /* of the configuration file, with its slash */
	char *path;           /* of the key file */
	const char *key_file; /* as the configuration names it */
	char *definition;     /* its name */
};

static int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int
fail(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("sortie: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return COMMAND_FINDING;
}

/* ---- the command line -------------------------------------------------- */

static int
take_word(struct dkim_new *n, int argc, char **argv, int *i)
{
	static const char *const names[] = { "--selector", "--out", "--bits" };
	const char **const into[] = { &n->selector_text, &n->out,
		                      &n->bits_text };

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		const char *value = command_value(names[k], argc, argv, i);

		if (value != NULL) {
			*into[k] = value;
			return COMMAND_GOOD;
		}
	}
	if (strcmp(argv[*i], "--ed25519") == 0) {
		n->ed25519 = true;
		return COMMAND_GOOD;
	}
	if (argv[*i][0] == '-' || n->domain_text != NULL) {
		return command_usage("dkim new does not take \"%.100s\", or it "
		                     "lacks its value",
		                     argv[*i]);
	}
	n->domain_text = argv[*i];
	return COMMAND_GOOD;
}

static int
set_bits(struct dkim_new *n)
{
	char *end = NULL;
	unsigned long bits;

	n->bits = DKIM_RSA_BITS_GOOD;
	if (n->bits_text == NULL) {
		return COMMAND_GOOD;
	}
	bits = strtoul(n->bits_text, &end, 10);
	if (n->ed25519) {
		return command_usage("--bits goes with RSA keys only");
	}
	if (n->bits_text[0] < '0' || n->bits_text[0] > '9' || *end != '\0' ||
	    bits < DKIM_RSA_BITS_MIN || bits > DKIM_RSA_BITS_MAX) {
		return command_usage("--bits is not a number from %d to %d",
		                     DKIM_RSA_BITS_MIN, DKIM_RSA_BITS_MAX);
	}
	n->bits = (unsigned)bits;
	return COMMAND_GOOD;
}

/* "s202611", "e202611": the keys of a pair made together differ. */
static int
set_selector(struct dkim_new *n)
{
	time_t now = time(NULL);
	struct tm tm;
	struct err e;

	if (n->selector_text == NULL) {
		(void)gmtime_r(&now, &tm); /* any time has a year and month */
		(void)snprintf(n->selector, sizeof(n->selector), "%c%04d%02d",
		               n->ed25519 ? 'e' : 's', tm.tm_year + 1900,
		               tm.tm_mon + 1);
		return COMMAND_GOOD;
	}
	if (address_domain_normalise(n->selector_text, strlen(n->selector_text),
	                             n->selector, &e) == -1) {
		return command_usage("--selector: %s", e.text);
	}
	if (strlen(n->selector) > SELECTOR_MAX) {
		return command_usage("--selector: longer than %d characters",
		                     SELECTOR_MAX);
	}
	return COMMAND_GOOD;
}

static int
set_names(struct dkim_new *n)
{
	struct err e;
	int rc;

	if (n->domain_text == NULL) {
		return command_usage("dkim new needs a domain");
	}
	if (address_domain_normalise(n->domain_text, strlen(n->domain_text),
	                             n->domain, &e) == -1) {
		return command_usage("%.100s: %s", n->domain_text, e.text);
	}
	rc = set_bits(n);
	if (rc == COMMAND_GOOD) {
		rc = set_selector(n);
	}
	if (rc != COMMAND_GOOD) {
		return rc;
	}
	n->name = mem_printf("%s._domainkey.%s", n->selector, n->domain);
	if (strlen(n->name) > DNS_NAME_MAX) {
		return command_usage("%s is too long for a name in DNS",
		                     n->name);
	}
	n->definition = mem_printf("%s-%s", n->domain, n->selector);
	return COMMAND_GOOD;
}

/* ---- the configuration, as far as there is one ------------------------- */

static int
check_definitions(const struct dkim_new *n, const struct conf *conf)
{
	for (size_t i = 0; i < conf->dkim_n; i++) {
		const struct conf_dkim *d = &conf->dkim[i];

		if (strcmp(d->domain, n->domain) == 0 &&
		    strcmp(d->selector, n->selector) == 0) {
			return fail("%s: definition \"%s\" has the selector %s "
			            "already; choose another with --selector",
			            conf->file, d->name, n->selector);
		}
	}
	return COMMAND_GOOD;
}

/* In terms of the root; links are not followed. */
static char *
absolute(const char *path)
{
	char cwd[PATH_MAX];

	if (path[0] == '/') {
		return mem_strdup(path);
	}
	if (getcwd(cwd, sizeof(cwd)) == NULL) {
		return mem_printf("./%s", path); /* it is gone */
	}
	return mem_printf("%s/%s", cwd, path);
}

/* Without --out, "dkim" beside the configuration is where keys are. Its paths
 * are relative to its folder. */
static void
set_path(struct dkim_new *n, const char *file)
{
	char *whole = absolute(file);
	size_t len = (size_t)(strrchr(whole, '/') - whole) + 1;

	n->folder = mem_strndup(whole, len);
	n->path = n->out != NULL ? absolute(n->out)
	                         : mem_printf("%sdkim/%s.%s.pem", n->folder,
	                                      n->domain, n->selector);
	n->key_file =
		strncmp(n->path, n->folder, len) == 0 ? n->path + len : n->path;
	free(whole);
}

/* The daemon's user is whose state folder it is. */
static void
find_owner(const char *state_dir, struct stat *owner_r)
{
	if (geteuid() != 0 || stat(state_dir, owner_r) == -1) {
		owner_r->st_uid = geteuid();
		owner_r->st_gid = getegid();
	}
}

static int
look_at_conf(struct dkim_new *n, const struct command *c, struct stat *owner_r)
{
	const char *file = c->file == NULL ? COMMAND_DEFAULT_FILE : c->file;
	struct conf_findings findings = { 0 };
	struct conf *conf = conf_load(file, &findings);
	int rc = COMMAND_GOOD;

	set_path(n, file);
	if (conf == NULL) {
		if (c->file != NULL) {
			(void)fprintf(stderr,
			              "sortie: %s cannot be loaded: its "
			              "definitions are not looked at\n",
			              file);
		}
		find_owner(DEFAULT_STATE_DIR, owner_r);
		return COMMAND_GOOD;
	}
	rc = check_definitions(n, conf);
	find_owner(conf->gateway.state_dir, owner_r);
	conf_unref(&conf);
	return rc;
}

/* ---- the file ----------------------------------------------------------- */

/* The folder of keys beside the configuration comes with the first key. */
static int
make_folder(const struct dkim_new *n, const struct stat *owner)
{
	char *folder;
	int rc = COMMAND_GOOD;

	if (n->out != NULL) {
		return COMMAND_GOOD;
	}
	folder = mem_printf("%sdkim", n->folder);
	if (mkdir(folder, 0700) == 0) {
		if (geteuid() == 0 &&
		    chown(folder, owner->st_uid, owner->st_gid) == -1) {
			rc = fail("%s: chown: %s", folder, strerror(errno));
		}
	} else if (errno != EEXIST) {
		rc = fail("%s: %s", folder, strerror(errno));
	}
	free(folder);
	return rc;
}

static int
write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return -1;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_key(const struct dkim_new *n, const struct stat *owner, struct buf *pem)
{
	int fd = open(n->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int failed = 0;

	if (fd == -1) {
		return errno == EEXIST
		               ? fail("%s exists already, and is left as it is",
		                      n->path)
		               : fail("%s: %s", n->path, strerror(errno));
	}
	if (fchmod(fd, 0600) == -1 ||
	    (geteuid() == 0 &&
	     fchown(fd, owner->st_uid, owner->st_gid) == -1) ||
	    write_all(fd, buf_ptr(pem), buf_len(pem)) == -1 ||
	    fsync(fd) == -1) {
		failed = errno;
	}
	if (close(fd) == -1 && failed == 0) {
		failed = errno;
	}
	if (failed != 0) {
		(void)unlink(n->path); /* it was made here */
		return fail("%s: %s", n->path, strerror(failed));
	}
	return COMMAND_GOOD;
}

/* ---- what is printed ---------------------------------------------------- */

struct dkim_texts {
	char *definition;
	char *policy;
	char *zone;
	char *value;
};

/* A string of libconfig. */
static void
put_string(struct buf *b, const char *s)
{
	buf_puts(b, "\"");
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\') {
			buf_puts(b, "\\");
		}
		buf_add(b, s, 1);
	}
	buf_puts(b, "\"");
}

static int
make_texts(const struct dkim_new *n, const struct dkim_key *k,
           struct dkim_texts *t, struct err *e)
{
	struct buf b;
	size_t len;

	buf_init(&b, 4 * RECORD_SIZE + strlen(n->key_file) * 2);
	if (dkim_key_record(k, &b, e) == -1) {
		buf_clear(&b);
		return -1;
	}
	t->value = buf_steal(&b, &len);
	zone_put_txt(&b, n->name, t->value, len);
	t->zone = buf_steal(&b, &len);
	buf_addf(&b,
	         "{ name = \"%s\"; domain = \"%s\"; selector = \"%s\"; "
	         "key_file = ",
	         n->definition, n->domain, n->selector);
	put_string(&b, n->key_file);
	buf_puts(&b, "; }");
	t->definition = buf_steal(&b, &len);
	t->policy = mem_printf("{ from = \"domain:%s\"; to = \"everyone\"; "
	                       "definition = \"%s\"; }",
	                       n->domain, n->definition);
	return 0;
}

/* A path need not be UTF-8. */
static json_t *
text_or_null(const char *s)
{
	json_t *v = json_string(s);

	return v == NULL ? json_null() : v;
}

static void
print_json(const struct dkim_new *n, const struct dkim_key *k,
           const struct dkim_texts *t)
{
	json_t *o = json_pack(
		"{s:s, s:s, s:s, s:i, s:o, s:o, s:s, s:s, s:s, s:s}", "domain",
		n->domain, "selector", n->selector, "algorithm",
		dkim_algorithm_word(dkim_key_algorithm(k)), "bits",
		(int)dkim_key_bits(k), "file", text_or_null(n->path),
		"definition", text_or_null(t->definition), "policy", t->policy,
		"name", n->name, "value", t->value, "record", t->zone);
	char *text = json_dumps(o, JSON_COMPACT);

	(void)printf("%s\n", text == NULL ? "{}" : text);
	free(text);
	json_decref(o);
}

static void
print_text(const struct dkim_new *n, const struct dkim_key *k,
           const struct dkim_texts *t)
{
	(void)printf("%s: %s, %u bits\n", n->path,
	             dkim_algorithm_word(dkim_key_algorithm(k)),
	             dkim_key_bits(k));
	(void)printf("\nPublish in the zone of %s:\n\n%s\n", n->domain,
	             t->zone);
	(void)printf("\nThe same for a form, as one string:\n\n"
	             "  name   %s\n  type   TXT\n  value  %s\n",
	             n->name, t->value);
	(void)printf("\nAdd to definitions.dns_authentication:\n\n  %s\n",
	             t->definition);
	(void)printf("\nWhen \"sortie dns %s\" sees the record, let a policy "
	             "of\npolicies.dns_authentication name the definition:"
	             "\n\n  %s\n",
	             n->domain, t->policy);
}

/* ---- all of it ---------------------------------------------------------- */

static int
make_key(const struct dkim_new *n, const struct command *c,
         const struct stat *owner)
{
	struct dkim_texts t = { 0 };
	int rc = COMMAND_FINDING;
	struct err e = { 0 };
	struct dkim_key *k;
	struct buf pem;

	buf_init(&pem, PEM_SIZE);
	k = dkim_key_make(n->ed25519 ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256,
	                  n->bits, &e);
	if (k == NULL || dkim_key_pem(k, &pem, &e) == -1 ||
	    make_texts(n, k, &t, &e) == -1) {
		(void)fail("no key could be made: %s", e.text);
		goto out;
	}
	rc = make_folder(n, owner);
	if (rc == COMMAND_GOOD) {
		rc = write_key(n, owner, &pem);
	}
	if (rc != COMMAND_GOOD) {
		goto out;
	}
	if (c->json) {
		print_json(n, k, &t);
	} else {
		print_text(n, k, &t);
	}

out:
	if (buf_len(&pem) > 0) {
		OPENSSL_cleanse(buf_ptr(&pem), buf_len(&pem));
	}
	buf_clear(&pem);
	dkim_key_free(&k);
	free(t.definition);
	free(t.policy);
	free(t.zone);
	free(t.value);
	return rc;
}

int
command_dkim(struct command *c, int argc, char **argv)
{
	struct dkim_new n = { 0 };
	struct stat owner = { 0 };
	bool said_new = false;
	int rc = COMMAND_GOOD;

	for (int i = 1; rc == COMMAND_GOOD && i < argc; i++) {
		if (command_option(c, argc, argv, &i)) {
			continue;
		}
		if (!said_new && strcmp(argv[i], "new") == 0) {
			said_new = true;
			continue;
		}
		rc = take_word(&n, argc, argv, &i);
	}
	if (rc == COMMAND_GOOD && !said_new) {
		rc = command_usage("dkim needs \"new\" and a domain");
	}
	if (rc == COMMAND_GOOD && c->socket_path != NULL) {
		rc = command_usage("dkim does not take -s");
	}
	if (rc == COMMAND_GOOD) {
		rc = set_names(&n);
	}
	if (rc == COMMAND_GOOD) {
		rc = look_at_conf(&n, c, &owner);
	}
	if (rc == COMMAND_GOOD) {
		if (!n.ed25519 && n.bits < DKIM_RSA_BITS_GOOD) {
			(void)fputs("sortie: an RSA key of less than 2048 bits "
			            "is weak\n",
			            stderr);
		}
		rc = make_key(&n, c, &owner);
	}
	free(n.name);
	free(n.folder);
	free(n.path);
	free(n.definition);
	return rc;
}
