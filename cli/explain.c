#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/client.h"
#include "cli/command.h"

/*
 * "sortie explain": the whole decision about a mail that is not sent. The
 * daemon decides; here the question is read and the answer laid out.
 */

#define TARGET_MAX   (32U * 1024)
#define VALUE_MAX    1000
#define HEADER_LIMIT (3U * 1024 * 1024)
#define BODY_LIMIT   (2U * 1024 * 1024) /* tried out up to here */
#define LABEL        (-13)

/* ---- the question --- */

struct question {
	struct buf target;
	const char *message; /* a file, "-" for standard input; NULL: none */
	bool has_ip;
	bool has_from;
	bool has_to;
	bool has_header_from;
};

static int
add(struct question *q, const char *name, const char *value)
{
	if (strlen(value) > VALUE_MAX) {
		return command_usage("the value of --%s is too long", name);
	}
	client_add_parameter(&q->target, name, value);
	return COMMAND_GOOD;
}

/* Options with a value; the daemon says what is wrong with one. */
static const struct {
	const char *option;
	const char *parameter;
} valued[] = {
	{ "--ip", "ip" },
	{ "--from", "from" },
	{ "--to", "to" },
	{ "--header-from", "header_from" },
	{ "--tls", "tls" },
	{ "--cipher", "cipher" },
	{ "--certificate-name", "certificate_name" },
};

static const struct {
	const char *option;
	const char *parameter;
	const char *value;
} flags[] = {
	{ "--live", "live", "1" },
	{ "--auth", "auth", "1" },
	{ "--requiretls", "require_tls", "1" },
};

static int
take_option(struct question *q, int argc, char **argv, int *i)
{
	const char *value;

	value = command_value("--message", argc, argv, i);
	if (value != NULL) {
		q->message = value;
		return COMMAND_GOOD;
	}
	if (strcmp(argv[*i], "--null-sender") == 0) {
		q->has_from = true;
		return add(q, "from", "");
	}
	for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++) {
		if (strcmp(argv[*i], flags[k].option) == 0) {
			return add(q, flags[k].parameter, flags[k].value);
		}
	}
	for (size_t k = 0; k < sizeof(valued) / sizeof(valued[0]); k++) {
		value = command_value(valued[k].option, argc, argv, i);
		if (value == NULL) {
			continue;
		}
		q->has_ip = q->has_ip || k == 0;
		q->has_from = q->has_from || k == 1;
		q->has_to = q->has_to || k == 2;
		q->has_header_from = q->has_header_from || k == 3;
		return add(q, valued[k].parameter, value);
	}
	return command_usage("explain does not take \"%s\", or it lacks its "
	                     "value",
	                     argv[*i]);
}

static int
check_question(const struct question *q)
{
	if (!q->has_ip || !q->has_from || !q->has_to) {
		return command_usage("explain needs --ip ADDRESS, --from "
		                     "ADDRESS (or --null-sender) and --to "
		                     "ADDRESS");
	}
	if (q->message != NULL && q->has_header_from) {
		return command_usage("--message has a From field of its own: "
		                     "leave out --header-from");
	}
	return COMMAND_GOOD;
}

/* ---- the header of a file --- */

enum taken {
	TAKEN_MORE = 0,
	TAKEN_LAST, /* the empty line */
	TAKEN_NOT,  /* no room */
};

/* The line's octets, with the end that lines have in mail. */
static enum taken
add_line(struct buf *out, const char *line, size_t len)
{
	if (line[len - 1] == '\n') {
		len -= len > 1 && line[len - 2] == '\r' ? 2 : 1;
	}
	if (buf_append(out, line, len) == -1 ||
	    buf_append(out, "\r\n", 2) == -1) {
		return TAKEN_NOT;
	}
	return len > 0 ? TAKEN_MORE : TAKEN_LAST;
}

/* What follows the header, when it has room; else it is not sent. */
static bool
add_body(struct buf *out, FILE *f, char **line, size_t *cap)
{
	struct buf body;
	bool whole = true;

	buf_init(&body, BODY_LIMIT);
	while (whole) {
		ssize_t n = getline(line, cap, f);

		if (n <= 0) {
			break;
		}
		whole = add_line(&body, *line, (size_t)n) != TAKEN_NOT;
	}
	whole = whole && buf_append(out, buf_cstr(&body), buf_len(&body)) == 0;
	buf_clear(&body);
	return whole;
}

static int
read_message(const char *name, struct buf *out, bool *whole_r)
{
	bool standard = strcmp(name, "-") == 0;
	FILE *f = standard ? stdin : fopen(name, "rb");
	enum taken taken = TAKEN_MORE;
	char *line = NULL;
	size_t cap = 0;
	int failed;

	if (f == NULL) {
		(void)fprintf(stderr, "sortie: %s: %s\n", name,
		              strerror(errno));
		return COMMAND_USAGE;
	}
	while (taken == TAKEN_MORE) {
		ssize_t n = getline(&line, &cap, f);

		if (n <= 0) {
			break;
		}
		taken = add_line(out, line, (size_t)n);
	}
	*whole_r = taken == TAKEN_LAST && add_body(out, f, &line, &cap);
	failed = ferror(f);
	free(line);
	if (!standard) {
		(void)fclose(f); /* it was only read */
	}
	if (failed != 0) {
		(void)fprintf(stderr, "sortie: %s: cannot read\n", name);
		return COMMAND_USAGE;
	}
	if (taken == TAKEN_NOT) {
		(void)fprintf(
			stderr,
			"sortie: %s: the header is longer than %u octets\n",
			name, HEADER_LIMIT);
		return COMMAND_USAGE;
	}
	if (buf_len(out) == 0) {
		(void)fprintf(stderr, "sortie: %s: there is no header\n", name);
		return COMMAND_USAGE;
	}
	return COMMAND_GOOD;
}

/* ---- the answer --- */

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static bool
is_set(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static void
put(const char *s)
{
	command_print_text(s, 0);
}

static void
label(const char *s)
{
	(void)printf("%*s", LABEL, s);
}

static void
put_policy(const json_t *name, const json_t *line)
{
	const char *s = json_string_value(name);

	put(s == NULL ? "?" : s);
	(void)printf(" (line %" JSON_INTEGER_FORMAT ")",
	             json_integer_value(line));
}

static void
print_admission(const json_t *answer)
{
	const json_t *a = json_object_get(answer, "admission");
	const char *at = text_of(a, "at");
	const char *reply = text_of(a, "reply");

	label("admission");
	if (reply == NULL) {
		(void)printf("admitted\n");
	} else {
		(void)printf("REFUSED at %s: ", at == NULL ? "RCPT" : at);
		put(reply);
		(void)putchar('\n');
	}
	label("direction");
	at = text_of(answer, "direction");
	(void)printf("%s\n", at == NULL ? "none, it is refused" : at);
}

static void
print_route(const json_t *answer)
{
	const char *route = text_of(answer, "route");
	const char *maildir = text_of(answer, "maildir");
	const char *domain = text_of(answer, "next_hop");

	label("route");
	if (route == NULL) {
		(void)fputs("by MX of ", stdout);
		put(domain == NULL ? "?" : domain);
	} else {
		put(route);
	}
	if (maildir != NULL) {
		(void)fputs(", files in ", stdout);
		put(maildir);
	}
	(void)putchar('\n');
}

static void
print_receipt(const json_t *answer)
{
	const json_t *r = json_object_get(answer, "secure_receipt");
	const char *reply = text_of(r, "reply");

	label("receipt");
	if (strcmp(text_of(r, "outcome"), "not asked") == 0) {
		(void)puts("not asked, it is refused before");
		return;
	}
	if (text_of(r, "policy") == NULL) {
		(void)puts("no policy asks for anything");
		return;
	}
	put_policy(json_object_get(r, "policy"), json_object_get(r, "line"));
	(void)fputs(reply == NULL ? ": the session is secure enough" : ": ",
	            stdout);
	put(reply == NULL ? "" : reply);
	(void)putchar('\n');
}

static void
print_header(const json_t *answer)
{
	const json_t *h = json_object_get(answer, "header");
	const char *fault = text_of(h, "fault");
	size_t i;
	json_t *from;

	label("From field");
	if (!is_set(h, "known")) {
		(void)puts(is_set(h, "matters")
		                   ? "not given, and it matters here: add "
		                     "--header-from or --message"
		                   : "not given; nothing here looks at it");
		return;
	}
	json_array_foreach(json_object_get(h, "from"), i, from)
	{
		(void)fputs(i == 0 ? "" : ", ", stdout);
		put(json_string_value(from));
	}
	if (fault != NULL) {
		(void)fputs(i == 0 ? "" : "; ", stdout);
		put(fault);
	}
	(void)putchar('\n');
}

static void
print_mail(const json_t *answer)
{
	const json_t *m = json_object_get(answer, "mail");
	const char *kind = text_of(m, "kind");

	if (kind == NULL) {
		return;
	}
	label("mail");
	(void)printf("%s%s%s\n", kind,
	             is_set(m, "assumed") ? ", as far as is known without "
	                                    "--message"
	                                  : "",
	             is_set(m, "auto_sender")
	                     ? "; the recipient becomes an Auto sender when "
	                       "it is delivered"
	                     : "");
}

/* Where there are policies about it. */
static void
print_stationery(const json_t *answer)
{
	const json_t *t = json_object_get(json_object_get(answer, "policies"),
	                                  "stationery");
	const json_t *s = json_object_get(answer, "stationery");
	const json_t *m = json_object_get(s, "message");

	if (text_of(t, "winner") == NULL &&
	    json_array_size(json_object_get(t, "losers")) == 0) {
		return;
	}
	label("stationery");
	if (text_of(s, "layout") == NULL) {
		(void)fputs("none: ", stdout);
		put(text_of(s, "none_why"));
	} else {
		put(text_of(s, "layout"));
	}
	if (text_of(m, "outcome") != NULL) {
		(void)fputs("; this message: ", stdout);
		put(text_of(m, "outcome"));
	}
	if (text_of(m, "why") != NULL) {
		(void)fputs(": ", stdout);
		put(text_of(m, "why"));
	}
	(void)fputs("\n", stdout);
}

/* Where there are policies about it. */
static void
print_sign(const json_t *answer)
{
	const json_t *t = json_object_get(json_object_get(answer, "policies"),
	                                  "dns_authentication");
	const char *why = text_of(answer, "unsigned");
	size_t i;
	json_t *s;

	if (text_of(t, "winner") == NULL &&
	    json_array_size(json_object_get(t, "losers")) == 0) {
		return;
	}
	label("signing");
	if (why != NULL) {
		(void)fputs("unsigned: ", stdout);
		put(why);
	}
	json_array_foreach(json_object_get(answer, "sign"), i, s)
	{
		(void)fputs(i == 0 ? "signs with " : ", ", stdout);
		put(text_of(s, "definition"));
		(void)fputs(" (domain ", stdout);
		put(text_of(s, "domain"));
		(void)fputs(", selector ", stdout);
		put(text_of(s, "selector"));
		(void)putchar(')');
	}
	(void)putchar('\n');
}

static void
print_tls(const json_t *answer)
{
	const json_t *t = json_object_get(answer, "tls");
	const char *words = text_of(t, "words");
	const char *floor = text_of(t, "floor");
	const char *by = text_of(t, "by");

	if (text_of(answer, "maildir") != NULL) {
		return;
	}
	label("delivery");
	put(words == NULL ? "" : words);
	(void)putchar('\n');
	label("floor");
	if (floor == NULL || strcmp(floor, "nothing") == 0) {
		(void)fputs("nothing", stdout);
	} else {
		(void)printf("%s, by %s", floor, by == NULL ? "?" : by);
	}
	(void)puts(is_set(t, "raised_by_domain")
	                   ? "; the domain may raise it by DANE or MTA-STS"
	                   : "");
}

static void
print_type(const char *type, const json_t *t)
{
	const json_t *losers = json_object_get(t, "losers");
	json_int_t left = json_integer_value(json_object_get(t, "left_off"));
	size_t i;
	json_t *l;

	if (text_of(t, "winner") == NULL && json_array_size(losers) == 0) {
		return;
	}
	(void)printf("\n%s\n  %*s", type, LABEL + 2, "wins");
	if (text_of(t, "winner") == NULL) {
		(void)fputs("none", stdout);
	} else {
		put_policy(json_object_get(t, "winner"),
		           json_object_get(t, "line"));
	}
	(void)putchar('\n');
	json_array_foreach(losers, i, l)
	{
		(void)printf("  %*s", LABEL + 2, i == 0 ? "loses" : "");
		put_policy(json_object_get(l, "narrative"),
		           json_object_get(l, "line"));
		(void)fputs(": ", stdout);
		put(text_of(l, "why"));
		(void)putchar('\n');
	}
	if (left > 0) {
		(void)printf("  %*s%" JSON_INTEGER_FORMAT " more\n", LABEL + 2,
		             "", left);
	}
}

static void
print_host(const json_t *h)
{
	const json_t *view = json_array_get(json_object_get(h, "modes"), 0);
	const char *why = text_of(h, "dane_why");
	size_t i;
	json_t *a;

	(void)printf("  %3" JSON_INTEGER_FORMAT " ",
	             json_integer_value(json_object_get(h, "preference")));
	put(text_of(h, "host"));
	(void)printf(" port %" JSON_INTEGER_FORMAT "\n      at ",
	             json_integer_value(json_object_get(h, "port")));
	json_array_foreach(json_object_get(h, "addresses"), i, a)
	{
		(void)printf("%s%s", i == 0 ? "" : ", ", json_string_value(a));
	}
	(void)printf("\n      DNSSEC %s, DANE %s, MTA-STS %s",
	             is_set(h, "dnssec") ? "yes" : "no", text_of(h, "dane"),
	             text_of(h, "mta_sts"));
	if (why != NULL) {
		(void)fputs(": ", stdout);
		put(why);
	}
	(void)printf("\n      floor %s", text_of(view, "floor"));
	if (strcmp(text_of(view, "by"), "nobody") != 0) {
		(void)printf(", by %s", text_of(view, "by"));
	}
	(void)puts(is_set(view, "avoid") ? "; it must not be used" : "");
}

static void
print_hosts(const json_t *answer)
{
	const char *why = text_of(answer, "live_error");
	size_t i;
	json_t *h;

	if (why != NULL) {
		(void)fputs("\nhosts\n  none: ", stdout);
		put(why);
		(void)putchar('\n');
		return;
	}
	json_array_foreach(json_object_get(answer, "hosts"), i, h)
	{
		(void)fputs(i == 0 ? "\nhosts\n" : "", stdout);
		print_host(h);
	}
}

static void
print_answer(const json_t *answer)
{
	const char *type;
	json_t *t;

	print_admission(answer);
	print_route(answer);
	print_receipt(answer);
	print_header(answer);
	print_mail(answer);
	print_stationery(answer);
	print_sign(answer);
	print_tls(answer);
	json_object_foreach(json_object_get(answer, "policies"), type, t)
	{
		print_type(type, t);
	}
	print_hosts(answer);
}

static int
ask(struct command *c, struct question *q)
{
	json_t *answer = NULL;
	struct buf header;
	bool whole = false;
	int rc = COMMAND_GOOD;

	buf_init(&header, HEADER_LIMIT);
	if (q->message != NULL) {
		rc = read_message(q->message, &header, &whole);
		if (whole) {
			buf_puts(&q->target, "&whole=1");
		}
	}
	if (rc == COMMAND_GOOD) {
		rc = command_send(c, buf_cstr(&q->target), buf_cstr(&header),
		                  buf_len(&header), &answer);
	}
	if (rc == COMMAND_GOOD) {
		const json_t *a = json_object_get(answer, "admission");

		if (!c->json) {
			print_answer(answer);
		}
		rc = text_of(a, "reply") == NULL ? COMMAND_GOOD
		                                 : COMMAND_FINDING;
	}
	buf_clear(&header);
	json_decref(answer);
	return rc;
}

int
command_explain(struct command *c, int argc, char **argv)
{
	struct question q = { 0 };
	int rc = COMMAND_GOOD;

	buf_init(&q.target, TARGET_MAX);
	buf_puts(&q.target, "/v1/explain");
	for (int i = 1; rc == COMMAND_GOOD && i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			rc = take_option(&q, argc, argv, &i);
		}
	}
	if (rc == COMMAND_GOOD) {
		rc = check_question(&q);
	}
	if (rc == COMMAND_GOOD) {
		rc = ask(c, &q);
	}
	buf_clear(&q.target);
	return rc;
}
