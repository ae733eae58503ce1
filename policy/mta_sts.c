/*
 * MTA-STS texts (RFC 8461). Strict where the grammar is, because what does not
 * parse asks for nothing and an attacker cannot make it so: the policy comes
 * over verified HTTPS. Lenient only where no meaning depends on it: a line end
 * too many, a dot behind a name.
 */
#include "policy/mta_sts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/mem.h"

#define RECORD_PREFIX     "v=STSv1;"
#define RECORD_PREFIX_LEN 8
#define FIXED_MAX         100 /* of the formatted lines that are no mx */
#define KEY_MAX           32  /* of a key, record and policy alike */

struct span {
	const char *data;
	size_t len;
};

/* Tables: their order is that of the enums. */
static const char *const mode_words[] = { "none", "testing", "enforce" };

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
span_is(struct span s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

static struct span
trim(struct span s)
{
	while (s.len > 0 && is_blank(s.data[0])) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.data[s.len - 1])) {
		s.len--;
	}
	return s;
}

/* (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".") */
static bool
is_key(struct span s)
{
	if (s.len == 0 || s.len > KEY_MAX || !is_alnum(s.data[0])) {
		return false;
	}
	for (size_t i = 1; i < s.len; i++) {
		if (!is_alnum(s.data[i]) && s.data[i] != '_' &&
		    s.data[i] != '-' && s.data[i] != '.') {
			return false;
		}
	}
	return true;
}

const char *
mta_sts_mode_word(enum mta_sts_mode m)
{
	return mode_words[m];
}

/* ---- the TXT record ------------------------------------------------ */

static bool
is_id(struct span s)
{
	if (s.len == 0 || s.len > MTA_STS_ID_MAX) {
		return false;
	}
	for (size_t i = 0; i < s.len; i++) {
		if (!is_alnum(s.data[i])) {
			return false;
		}
	}
	return true;
}

/* 1*(%x21-3A / %x3C / %x3E-7E) */
static bool
is_record_value(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c < '!' || c > '~' || c == ';' || c == '=') {
			return false;
		}
	}
	return s.len > 0;
}

/* "key=value"; of several ids the first counts. */
static int
take_field(struct span field, struct span *id, struct err *e)
{
	const char *equal = memchr(field.data, '=', field.len);
	struct span key = field;
	struct span value = { 0 };

	if (equal == NULL) {
		return err_set(e, ERR_INVALID, "a field without \"=\"");
	}
	key.len = (size_t)(equal - field.data);
	value.data = equal + 1;
	value.len = field.len - key.len - 1;
	if (!is_key(key)) {
		return err_set(e, ERR_INVALID, "a field with a bad name");
	}
	if (!span_is(key, "id")) {
		return is_record_value(value) ? 0
		                              : err_set(e, ERR_INVALID,
		                                        "field %.*s: bad value",
		                                        (int)key.len, key.data);
	}
	if (id->data != NULL) {
		return 0;
	}
	if (!is_id(value)) {
		return err_set(e, ERR_INVALID,
		               "id is not 1 to %d letters and digits",
		               MTA_STS_ID_MAX);
	}
	*id = value;
	return 0;
}

/*
 *	record = "v=STSv1" 1*(delim field) [delim]
 *	delim  = *WSP ";" *WSP
 *	field  = "id=" 1*32(ALPHA / DIGIT) / key "=" value
 */
enum mta_sts_record
mta_sts_record_parse(const uint8_t *data, size_t len,
                     char id[MTA_STS_ID_MAX + 1], struct err *e)
{
	struct span rest = { (const char *)data, len };
	struct span found = { 0 };

	if (len < RECORD_PREFIX_LEN ||
	    memcmp(data, RECORD_PREFIX, RECORD_PREFIX_LEN) != 0) {
		return MTA_STS_RECORD_OTHER;
	}
	rest.data += RECORD_PREFIX_LEN;
	rest.len -= RECORD_PREFIX_LEN;
	while (rest.len > 0) {
		const char *end = memchr(rest.data, ';', rest.len);
		size_t n = end != NULL ? (size_t)(end - rest.data) : rest.len;
		struct span field = trim((struct span){ rest.data, n });
		size_t skip = n + (end != NULL ? 1 : 0);

		rest.data += skip;
		rest.len -= skip;
		if (field.len == 0 && end == NULL) {
			break; /* blanks behind the last delimiter */
		}
		if (take_field(field, &found, e) == -1) {
			return MTA_STS_RECORD_BAD;
		}
	}
	if (found.data == NULL) {
		err_set(e, ERR_INVALID, "no id");
		return MTA_STS_RECORD_BAD;
	}
	memcpy(id, found.data, found.len);
	id[found.len] = '\0';
	return MTA_STS_RECORD_GOOD;
}

/* ---- parsing a policy ---------------------------------------------- */

struct parse {
	bool version;
	bool mode_known;
	bool max_age_known;
	enum mta_sts_mode mode;
	uint32_t max_age_s;
	struct buf names; /* each terminated */
	size_t names_n;
};

static int
take_version(struct parse *p, struct span value, struct err *e)
{
	if (p->version) {
		return 0;
	}
	if (!span_is(value, "STSv1")) {
		return err_set(e, ERR_INVALID, "version is not STSv1");
	}
	p->version = true;
	return 0;
}

static int
take_mode(struct parse *p, struct span value, struct err *e)
{
	if (p->mode_known) {
		return 0;
	}
	for (int i = MTA_STS_NONE; i <= MTA_STS_ENFORCE; i++) {
		if (span_is(value, mode_words[i])) {
			p->mode = (enum mta_sts_mode)i;
			p->mode_known = true;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID,
	               "mode is not \"enforce\", \"testing\" or \"none\"");
}

/* 1*10(DIGIT) */
static int
take_max_age(struct parse *p, struct span value, struct err *e)
{
	uint64_t n = 0;

	if (p->max_age_known) {
		return 0;
	}
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9') {
			value.len = 0;
			break;
		}
		n = n * 10 + (uint64_t)(value.data[i] - '0');
		if (i == 10) {
			value.len = 0;
		}
	}
	if (value.len == 0) {
		return err_set(e, ERR_INVALID,
		               "max_age is not a number of 1 to 10 digits");
	}
	p->max_age_s =
		n > MTA_STS_MAX_AGE_MAX ? MTA_STS_MAX_AGE_MAX : (uint32_t)n;
	p->max_age_known = true;
	return 0;
}

/* ["*."] Domain */
static int
take_mx(struct parse *p, struct span value, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	bool wild = value.len >= 2 && memcmp(value.data, "*.", 2) == 0;
	size_t skip = wild ? 2 : 0;

	if (address_domain_normalise(value.data + skip, value.len - skip, name,
	                             e) == -1) {
		return err_wrap(e, "mx");
	}
	if (wild) {
		buf_add(&p->names, "*.", 2);
	}
	buf_add(&p->names, name, strlen(name) + 1);
	p->names_n++;
	return 0;
}

/* What stands in a value of another key: printable, UTF-8 or not. */
static bool
is_text(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			return false;
		}
	}
	return true;
}

static int
take_line(struct parse *p, struct span line, struct err *e)
{
	const char *colon = memchr(line.data, ':', line.len);
	struct span key = line;
	struct span value = { 0 };

	if (trim(line).len == 0) {
		return 0;
	}
	if (!is_text(line)) {
		return err_set(e, ERR_INVALID, "control character");
	}
	if (colon == NULL) {
		return err_set(e, ERR_INVALID, "no \":\"");
	}
	key.len = (size_t)(colon - line.data);
	value.data = colon + 1;
	value.len = line.len - key.len - 1;
	value = trim(value);
	if (!is_key(key)) {
		return err_set(e, ERR_INVALID, "bad key");
	}
	if (span_is(key, "version")) {
		return take_version(p, value, e);
	}
	if (span_is(key, "mode")) {
		return take_mode(p, value, e);
	}
	if (span_is(key, "max_age")) {
		return take_max_age(p, value, e);
	}
	if (span_is(key, "mx")) {
		return take_mx(p, value, e);
	}
	return 0;
}

static int
check_complete(const struct parse *p, struct err *e)
{
	const char *missing = NULL;

	if (!p->version) {
		missing = "version";
	} else if (!p->mode_known) {
		missing = "mode";
	} else if (!p->max_age_known) {
		missing = "max_age";
	} else if (p->names_n == 0 && p->mode != MTA_STS_NONE) {
		missing = "mx";
	}
	if (missing != NULL) {
		return err_set(e, ERR_INVALID, "no \"%s\"", missing);
	}
	/* What mta_sts_policy_format makes of it must parse again. */
	if (buf_len(&p->names) + p->names_n * 4 + FIXED_MAX >
	    MTA_STS_BODY_MAX) {
		return err_set(e, ERR_LIMIT, "too many \"mx\"");
	}
	return 0;
}

static int
parse_lines(struct parse *p, const char *body, size_t len, struct err *e)
{
	struct span rest = { body, len };

	for (unsigned number = 1; rest.len > 0; number++) {
		const char *lf = memchr(rest.data, '\n', rest.len);
		size_t n = lf != NULL ? (size_t)(lf - rest.data) : rest.len;
		struct span line = { rest.data, n };

		if (lf != NULL && n > 0 && line.data[n - 1] == '\r') {
			line.len--;
		}
		if (take_line(p, line, e) == -1) {
			return err_wrap(e, "line %u", number);
		}
		n += lf != NULL ? 1 : 0;
		rest.data += n;
		rest.len -= n;
	}
	return check_complete(p, e);
}

/* One block: the policy, its list, the names. */
static struct mta_sts_policy *
build(struct parse *p)
{
	size_t list = p->names_n * sizeof(const char *);
	size_t len = buf_len(&p->names);
	size_t size = sizeof(struct mta_sts_policy) + list + len;
	struct mta_sts_policy *policy = mem_alloc(size);
	char *names = (char *)(policy + 1) + list;

	atomic_store(&policy->refs, 1);
	policy->mode = p->mode;
	policy->max_age_s = p->max_age_s;
	policy->size = size;
	policy->mx = (const char **)(policy + 1);
	policy->mx_n = p->names_n;
	if (len > 0) {
		memcpy(names, buf_ptr(&p->names), len);
	}
	for (size_t i = 0; i < p->names_n; i++) {
		policy->mx[i] = names;
		names += strlen(names) + 1;
	}
	return policy;
}

struct mta_sts_policy *
mta_sts_policy_parse(const char *body, size_t len, struct err *e)
{
	struct mta_sts_policy *policy = NULL;
	struct parse p = { 0 };

	if (len > MTA_STS_BODY_MAX) {
		err_set(e, ERR_LIMIT, "longer than %d octets",
		        MTA_STS_BODY_MAX);
		return NULL;
	}
	/* A-labels are longer than what they are written as, by a factor that
	 * ADDRESS_DOMAIN_MAX bounds for each line of at least 5 octets. */
	buf_init(&p.names, (len / 5 + 1) * (ADDRESS_DOMAIN_MAX + 3));
	if (parse_lines(&p, body, len, e) == 0) {
		policy = build(&p);
	}
	buf_clear(&p.names);
	return policy;
}

/* ---- using one ----------------------------------------------------- */

struct mta_sts_policy *
mta_sts_policy_ref(const struct mta_sts_policy *p)
{
	struct mta_sts_policy *own = mem_unconst(p);

	(void)atomic_fetch_add(&own->refs,
	                       1); /* the former count is not news */
	return own;
}

void
mta_sts_policy_unref(struct mta_sts_policy **pp)
{
	struct mta_sts_policy *p = *pp;

	*pp = NULL;
	if (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1) {
		free(p);
	}
}

char *
mta_sts_policy_format(const struct mta_sts_policy *p)
{
	struct buf b;

	buf_init(&b, p->size + p->mx_n * 5 + 100);
	buf_addf(&b, "version: STSv1\nmode: %s\n", mode_words[p->mode]);
	for (size_t i = 0; i < p->mx_n; i++) {
		buf_addf(&b, "mx: %s\n", p->mx[i]);
	}
	buf_addf(&b, "max_age: %u\n", (unsigned)p->max_age_s);
	return buf_steal(&b, NULL);
}

bool
mta_sts_policy_equal(const struct mta_sts_policy *a,
                     const struct mta_sts_policy *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	if (a->mode != b->mode || a->max_age_s != b->max_age_s ||
	    a->mx_n != b->mx_n) {
		return false;
	}
	for (size_t i = 0; i < a->mx_n; i++) {
		if (strcmp(a->mx[i], b->mx[i]) != 0) {
			return false;
		}
	}
	return true;
}

static bool
pattern_matches(const char *pattern, struct span host)
{
	if (pattern[0] == '*') {
		const char *dot = memchr(host.data, '.', host.len);

		if (dot == NULL || dot == host.data) {
			return false;
		}
		host.len -= (size_t)(dot - host.data);
		host.data = dot;
		pattern++;
	}
	return strlen(pattern) == host.len &&
	       strncasecmp(pattern, host.data, host.len) == 0;
}

bool
mta_sts_lists(const struct mta_sts_policy *p, const char *mx_host)
{
	struct span host = { mx_host, strlen(mx_host) };

	if (host.len > 0 && mx_host[host.len - 1] == '.') {
		host.len--;
	}
	for (size_t i = 0; i < p->mx_n; i++) {
		if (pattern_matches(p->mx[i], host)) {
			return true;
		}
	}
	return false;
}

enum tls_sts
mta_sts_match(const struct mta_sts_policy *p, const char *mx_host)
{
	if (p == NULL) {
		return TLS_STS_NONE;
	}
	switch (p->mode) {
	case MTA_STS_NONE:
		return TLS_STS_NONE;
	case MTA_STS_TESTING:
		return TLS_STS_TESTING;
	case MTA_STS_ENFORCE:
		break;
	}
	return mta_sts_lists(p, mx_host) ? TLS_STS_ENFORCE : TLS_STS_UNLISTED;
}
