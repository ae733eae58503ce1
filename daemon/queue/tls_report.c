#include "daemon/queue/tls_report.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "mime/encode.h"
#include "policy/tls_report.h"
#include "store/tls_results.h"

/*
 * Rows become policies with their failures, those become JSON. Counts always
 * add up: what is not told in detail is told in sum.
 */

#define DAY_S 86400

struct failure {
	char *key;
	uint64_t n;
};

struct policy {
	char *key;
	uint64_t good;
	uint64_t bad;
	struct failure *failures;
	size_t failures_n;
};

struct tls_report {
	struct tls_report_options o;
	struct policy *policies;
	size_t policies_n;
	char unique[17]; /* of the file's name and the report-id */
};

static void
make_unique(struct tls_report *r)
{
	const char *part[] = { r->o.submitter, r->o.domain };
	uint64_t h = 14695981039346656037U ^ (uint64_t)r->o.day;

	for (size_t i = 0; i < 2; i++) {
		const char *s = part[i];

		do {
			h = (h ^ (unsigned char)*s) * 1099511628211U;
		} while (*s++ != '\0');
	}
	(void)snprintf(r->unique, sizeof(r->unique), "%016llx",
	               (unsigned long long)h);
}

struct tls_report *
tls_report_new(const struct tls_report_options *o)
{
	struct tls_report *r = mem_alloc(sizeof(*r));

	r->o = *o;
	make_unique(r);
	return r;
}

void
tls_report_free(struct tls_report **rp)
{
	struct tls_report *r = *rp;

	*rp = NULL;
	if (r == NULL) {
		return;
	}
	for (size_t i = 0; i < r->policies_n; i++) {
		struct policy *p = &r->policies[i];

		for (size_t k = 0; k < p->failures_n; k++) {
			free(p->failures[k].key);
		}
		free(p->failures);
		free(p->key);
	}
	free(r->policies);
	free(r);
}

/* ---- rows ------------------------------------------------------------ */

static struct policy *
find_policy(struct tls_report *r, const char *key)
{
	struct policy *p;

	for (size_t i = 0; i < r->policies_n; i++) {
		if (strcmp(r->policies[i].key, key) == 0) {
			return &r->policies[i];
		}
	}
	r->policies = mem_reallocarray(r->policies, r->policies_n + 1,
	                               sizeof(*r->policies));
	p = &r->policies[r->policies_n++];
	*p = (struct policy){ .key = mem_strdup(key) };
	return p;
}

static void
add_failure(struct policy *p, size_t from, const char *key, uint64_t n)
{
	struct failure *f;

	for (size_t i = from; i < p->failures_n; i++) {
		if (strcmp(p->failures[i].key, key) == 0) {
			p->failures[i].n += n;
			return;
		}
	}
	p->failures = mem_reallocarray(p->failures, p->failures_n + 1,
	                               sizeof(*p->failures));
	f = &p->failures[p->failures_n++];
	*f = (struct failure){ .key = mem_strdup(key), .n = n };
}

void
tls_report_add(struct tls_report *r, const struct tls_row *row)
{
	struct policy *p = find_policy(r, row->policy);

	if (row->failure[0] == '\0') {
		p->good += row->n;
		return;
	}
	p->bad += row->n;
	add_failure(p, 0, row->failure, row->n);
}

static int
more_first(const void *a, const void *b)
{
	const struct failure *x = a;
	const struct failure *y = b;

	if (x->n != y->n) {
		return x->n > y->n ? -1 : 1;
	}
	return strcmp(x->key, y->key);
}

/* The first ones stay, the others become one of each kind behind them. */
static void
bound_failures(struct policy *p)
{
	struct failure *rest;
	size_t rest_n;

	if (p->failures_n == 0) {
		return;
	}
	qsort(p->failures, p->failures_n, sizeof(*p->failures), more_first);
	if (p->failures_n <= TLS_REPORT_DETAILS_MAX) {
		return;
	}
	rest_n = p->failures_n - TLS_REPORT_DETAILS_MAX;
	rest = mem_alloc(rest_n * sizeof(*rest));
	memcpy(rest, p->failures + TLS_REPORT_DETAILS_MAX,
	       rest_n * sizeof(*rest));
	p->failures_n = TLS_REPORT_DETAILS_MAX;
	for (size_t i = 0; i < rest_n; i++) {
		rest[i].key[strcspn(rest[i].key, "\t")] = '\0';
		add_failure(p, TLS_REPORT_DETAILS_MAX, rest[i].key, rest[i].n);
		free(rest[i].key);
	}
	free(rest);
}

/* ---- JSON ------------------------------------------------------------ */

static json_t *
text(const char *s, size_t len)
{
	json_t *v = json_stringn(s, len);

	/* Keys are UTF-8; the configuration's words need not be. */
	return v == NULL ? json_string("?") : v;
}

static void
set_field(json_t *to, const char *name, struct tls_key_field f)
{
	if (f.len > 0) {
		json_object_set_new(to, name, text(f.s, f.len));
	}
}

/* Lines as an array; left out when there are none. */
static void
set_lines(json_t *to, const char *name, struct tls_key_field f)
{
	json_t *lines;

	if (f.len == 0) {
		return;
	}
	lines = json_array();
	while (f.len > 0) {
		const char *end = memchr(f.s, '\n', f.len);
		size_t len = end == NULL ? f.len : (size_t)(end - f.s);

		if (len > 0) {
			json_array_append_new(lines, text(f.s, len));
		}
		f.s += len;
		f.len -= len;
		if (f.len > 0) {
			f.s++;
			f.len--;
		}
	}
	json_object_set_new(to, name, lines);
}

/* Of TLSA, the domain is the TLSA base domain (section 1.1: Policy Domain). */
static json_t *
policy_json(const struct tls_report *r, const char *key)
{
	struct tls_key_field f[TLS_KEY_POLICY_FIELDS];
	json_t *out = json_object();
	bool tlsa;

	tls_key_split(key, f, TLS_KEY_POLICY_FIELDS);
	tlsa = f[TLS_KEY_KIND].len == 4 &&
	       memcmp(f[TLS_KEY_KIND].s, "tlsa", 4) == 0;
	set_field(out, "policy-type", f[TLS_KEY_KIND]);
	set_lines(out, "policy-string", f[TLS_KEY_TEXT]);
	if (tlsa && f[TLS_KEY_MX].len > 0) {
		set_field(out, "policy-domain", f[TLS_KEY_MX]);
	} else {
		json_object_set_new(out, "policy-domain",
		                    text(r->o.domain, strlen(r->o.domain)));
	}
	set_lines(out, "mx-host", f[TLS_KEY_MX]);
	return out;
}

static json_t *
failure_json(const struct failure *failure)
{
	struct tls_key_field f[TLS_KEY_FAILURE_FIELDS];
	json_t *out = json_object();

	tls_key_split(failure->key, f, TLS_KEY_FAILURE_FIELDS);
	set_field(out, "result-type", f[TLS_KEY_RESULT]);
	set_field(out, "sending-mta-ip", f[TLS_KEY_LOCAL]);
	set_field(out, "receiving-mx-hostname", f[TLS_KEY_MX_HOST]);
	set_field(out, "receiving-mx-helo", f[TLS_KEY_HELO]);
	set_field(out, "receiving-ip", f[TLS_KEY_PEER]);
	json_object_set_new(out, "failed-session-count",
	                    json_integer((json_int_t)failure->n));
	set_field(out, "failure-reason-code", f[TLS_KEY_REASON]);
	return out;
}

static json_t *
result_json(const struct tls_report *r, struct policy *p)
{
	json_t *out = json_object();
	json_t *details;

	json_object_set_new(out, "policy", policy_json(r, p->key));
	json_object_set_new(
		out, "summary",
		json_pack("{s:I, s:I}", "total-successful-session-count",
	                  (json_int_t)p->good, "total-failure-session-count",
	                  (json_int_t)p->bad));
	bound_failures(p);
	if (p->failures_n > 0) {
		details = json_array();
		for (size_t i = 0; i < p->failures_n; i++) {
			json_array_append_new(details,
			                      failure_json(&p->failures[i]));
		}
		json_object_set_new(out, "failure-details", details);
	}
	return out;
}

/* "2026-11-23T00:00:00Z" */
static json_t *
date_json(int64_t seconds)
{
	char date[CLOCK_TEXT_MAX];

	clock_rfc3339(seconds * 1000, date);
	return json_sprintf("%.19sZ", date);
}

char *
tls_report_json(struct tls_report *r)
{
	json_t *range = json_object();
	json_t *policies = json_array();
	json_t *out = json_object();
	char *json;

	json_object_set_new(range, "start-datetime",
	                    date_json(r->o.day * DAY_S));
	json_object_set_new(range, "end-datetime",
	                    date_json((r->o.day + 1) * DAY_S - 1));
	for (size_t i = 0; i < r->policies_n; i++) {
		json_array_append_new(policies,
		                      result_json(r, &r->policies[i]));
	}
	json_object_set_new(out, "organization-name",
	                    text(r->o.organization, strlen(r->o.organization)));
	json_object_set_new(out, "date-range", range);
	json_object_set_new(out, "contact-info",
	                    text(r->o.contact, strlen(r->o.contact)));
	json_object_set_new(out, "report-id",
	                    json_sprintf("%s@%s", r->unique, r->o.submitter));
	json_object_set_new(out, "policies", policies);
	json = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	return json == NULL ? mem_strdup("{}") : json;
}

/* ---- the mail -------------------------------------------------------- */

/* Without a time stamp: the same JSON gives the same octets. */
static int
compress_json(const char *json, struct buf *out)
{
	z_stream z = { 0 };
	size_t len = strlen(json);
	size_t room;
	char *at;
	int rc;

	if (len > UINT32_MAX / 2 ||
	    deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
	                 Z_DEFAULT_STRATEGY) != Z_OK) {
		return -1;
	}
	room = deflateBound(&z, len);
	buf_init(out, room);
	at = buf_reserve(out, room);
	z.next_in = (z_const Bytef *)mem_unconst(json);
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)at;
	z.avail_out = (uInt)room;
	rc = deflate(&z, Z_FINISH);
	buf_commit(out, room - z.avail_out);
	(void)deflateEnd(&z); /* it ended, or is given up */
	return rc == Z_STREAM_END ? 0 : -1;
}

static int
put_header(const struct tls_report *r, const struct tls_report_mail *m,
           struct buf *out)
{
	char id[ID_TEXT_MAX];

	id_format(m->id, id);
	return buf_printf(
		out,
		"Date: %s\r\n"
		"From: <%s>\r\n"
		"To: <%s>\r\n"
		"Subject: Report Domain: %s\r\n"
		" Submitter: %s\r\n"
		" Report-ID: <%s@%s>\r\n"
		"Message-ID: <%s@%s>\r\n"
		"TLS-Report-Domain: %s\r\n"
		"TLS-Report-Submitter: %s\r\n"
		"TLS-Required: No\r\n"
		"Auto-Submitted: auto-generated\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n"
		"\tboundary=\"%s\"\r\n"
		"\r\n",
		m->date, r->o.contact, m->to, r->o.domain, r->o.submitter,
		r->unique, r->o.submitter, id, r->o.submitter, r->o.domain,
		r->o.submitter, m->boundary);
}

static int
put_words(const struct tls_report *r, const struct tls_report_mail *m,
          struct buf *out)
{
	char date[CLOCK_TEXT_MAX];
	uint64_t good = 0;
	uint64_t bad = 0;

	for (size_t i = 0; i < r->policies_n; i++) {
		good += r->policies[i].good;
		bad += r->policies[i].bad;
	}
	clock_rfc3339(r->o.day * DAY_S * 1000, date);
	return buf_printf(
		out,
		"--%s\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"\r\n"
		"This is an aggregate report on TLS (RFC 8460) from\r\n"
		"%s\r\n"
		"about its SMTP sessions with the mail exchangers of\r\n"
		"%s\r\n"
		"on %.10s (UTC): %llu with success, %llu with a failure.\r\n"
		"\r\n"
		"The report is attached, as JSON compressed by gzip.\r\n"
		"Questions go to %s.\r\n",
		m->boundary, r->o.submitter, r->o.domain, date,
		(unsigned long long)good, (unsigned long long)bad,
		r->o.contact);
}

static int
put_report(const struct tls_report *r, const struct tls_report_mail *m,
           const struct buf *gz, struct buf *out)
{
	struct encode_base64 b;

	if (buf_printf(out,
	               "\r\n--%s\r\n"
	               "Content-Type: application/tlsrpt+gzip\r\n"
	               "Content-Transfer-Encoding: base64\r\n"
	               "Content-Disposition: attachment;\r\n"
	               "\tfilename=\"%s!%s!%lld!%lld!%s.json.gz\"\r\n"
	               "\r\n",
	               m->boundary, r->o.submitter, r->o.domain,
	               (long long)r->o.day * DAY_S,
	               (long long)(r->o.day + 1) * DAY_S - 1,
	               r->unique) == -1) {
		return -1;
	}
	encode_base64_init(&b, out);
	if (encode_base64_update(&b, buf_ptr(gz), buf_len(gz)) == -1 ||
	    encode_base64_finish(&b) == -1) {
		return -1;
	}
	return buf_printf(out, "\r\n--%s--\r\n", m->boundary);
}

int
tls_report_write(const struct tls_report *r, const struct tls_report_mail *mail,
                 struct buf *out, struct err *e)
{
	struct address a;
	struct buf gz;
	int rc = 0;

	/* What stands in a header field is one line. */
	if (address_parse(r->o.contact, strlen(r->o.contact), 0, &a, e) == -1) {
		return err_wrap(e, "tls_reports.contact \"%s\"", r->o.contact);
	}
	if (compress_json(mail->json, &gz) == -1) {
		return err_set(e, ERR_LIMIT, "the report cannot be compressed");
	}
	if (put_header(r, mail, out) == -1 || put_words(r, mail, out) == -1 ||
	    put_report(r, mail, &gz, out) == -1) {
		rc = err_set(e, ERR_LIMIT, "the report is too large");
	}
	buf_clear(&gz);
	return rc;
}
