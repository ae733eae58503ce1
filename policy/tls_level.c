#include "policy/tls_level.h"

#include <stddef.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hex.h"
#include "conf/conf.h"

/*
 * Needs, floors and moves as tables and plain rules. Whether a certificate is
 * to be trusted is for others to find out.
 */

#define TEXT_MAX (64 * 1024) /* of a need: three paths, fingerprints */

static bool
is_word(const char *text, const char *word)
{
	return text != NULL && strcmp(text, word) == 0;
}

void
tls_need_of_policy(const struct conf_policy *p, struct tls_need *out)
{
	struct tls_need need = { 0 };

	*out = need;
	if (p == NULL) {
		return;
	}
	if (is_word(p->option, "enforced_tls")) {
		need.option = TLS_ENFORCED;
	} else if (is_word(p->option, "no_tls")) {
		need.option = TLS_NEVER;
	}
	need.no_dane = !p->honour_dane;
	need.no_mta_sts = !p->honour_mta_sts;
	need.strong = is_word(p->ssl_mode, "strong");
	need.strict = need.option != TLS_NEVER &&
	              is_word(p->encryption_mode, "strict_trust_enforced");
	if (need.strict && need.option == TLS_OPPORTUNISTIC) {
		if (is_word(p->untrusted, "clear")) {
			need.untrusted = TLS_UNTRUSTED_CLEAR;
		} else if (is_word(p->untrusted, "defer")) {
			need.untrusted = TLS_UNTRUSTED_DEFER;
		}
	}
	need.ca_file = p->ca_file;
	need.certificate = p->certificate;
	need.key = p->key;
	need.fingerprints = p->fingerprints;
	need.fingerprints_n = p->fingerprints_n;
	*out = need;
}

bool
tls_need_pins(const struct tls_need *need, const char *fingerprint)
{
	for (size_t i = 0; i < need->fingerprints_n; i++) {
		if (strcmp(need->fingerprints[i], fingerprint) == 0) {
			return true;
		}
	}
	return false;
}

/* ---- as text -------------------------------------------------------- */

/* The words of the flags, in the order in which they are written. */
#define WORD_OF_OPTION    0
#define WORD_OF_UNTRUSTED 1
#define WORD_OF_FLAG      2

static const struct {
	const char *word;
	unsigned kind;
	unsigned value; /* of the enum, or the place of the flag */
} words[] = {
	{ "enforced", WORD_OF_OPTION, TLS_ENFORCED },
	{ "never", WORD_OF_OPTION, TLS_NEVER },
	{ "strict", WORD_OF_FLAG, offsetof(struct tls_need, strict) },
	{ "clear", WORD_OF_UNTRUSTED, TLS_UNTRUSTED_CLEAR },
	{ "defer", WORD_OF_UNTRUSTED, TLS_UNTRUSTED_DEFER },
	{ "strong", WORD_OF_FLAG, offsetof(struct tls_need, strong) },
	{ "no-dane", WORD_OF_FLAG, offsetof(struct tls_need, no_dane) },
	{ "no-mta-sts", WORD_OF_FLAG, offsetof(struct tls_need, no_mta_sts) },
	{ "requiretls", WORD_OF_FLAG, offsetof(struct tls_need, require_tls) },
	{ "optional", WORD_OF_FLAG, offsetof(struct tls_need, optional) },
};

#define WORDS_N (sizeof(words) / sizeof(words[0]))

static bool *
flag_at(struct tls_need *need, unsigned place)
{
	return (bool *)((char *)need + place);
}

static bool
has_word(const struct tls_need *need, size_t i)
{
	switch (words[i].kind) {
	case WORD_OF_OPTION:
		return need->option == words[i].value;
	case WORD_OF_UNTRUSTED:
		return need->untrusted == words[i].value;
	default:
		return *((const char *)need + words[i].value) != 0;
	}
}

static void
set_word(struct tls_need *need, size_t i)
{
	switch (words[i].kind) {
	case WORD_OF_OPTION:
		need->option = (enum tls_option)words[i].value;
		break;
	case WORD_OF_UNTRUSTED:
		need->untrusted = (enum tls_untrusted)words[i].value;
		break;
	default:
		*flag_at(need, words[i].value) = true;
		break;
	}
}

static void
put_word(struct buf *b, const char *word)
{
	if (buf_len(b) > 0) {
		buf_puts(b, " ");
	}
	buf_puts(b, word);
}

/* A path may hold any octet; blanks end words here. */
static void
put_value(struct buf *b, const char *name, const char *value)
{
	if (value == NULL) {
		return;
	}
	put_word(b, name);
	for (; *value != '\0'; value++) {
		unsigned char ch = (unsigned char)*value;

		if (ch <= ' ' || ch == '%' || ch >= 0x7f) {
			buf_addf(b, "%%%02x", ch);
		} else {
			buf_add(b, value, 1);
		}
	}
}

const char *
tls_need_format(const struct tls_need *need, struct arena *a)
{
	const char *text = NULL;
	struct buf b;

	buf_init(&b, TEXT_MAX);
	for (size_t i = 0; i < WORDS_N; i++) {
		if (has_word(need, i)) {
			put_word(&b, words[i].word);
		}
	}
	put_value(&b, "ca=", need->ca_file);
	put_value(&b, "certificate=", need->certificate);
	put_value(&b, "key=", need->key);
	for (size_t i = 0; i < need->fingerprints_n; i++) {
		put_value(&b, "fingerprint=", need->fingerprints[i]);
	}
	if (buf_len(&b) > 0) {
		text = arena_strndup(a, buf_ptr(&b), buf_len(&b));
	}
	buf_clear(&b);
	return text;
}

/* NULL: the escape is none. */
static const char *
take_value(struct arena *a, const char *s, size_t len)
{
	char *out = arena_alloc(a, len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] != '%') {
			out[n++] = s[i];
			continue;
		}
		int high = i + 2 < len ? hex_value(s[i + 1]) : -1;
		int low = high >= 0 ? hex_value(s[i + 2]) : -1;
		if (low < 0 || high + low == 0) {
			return NULL;
		}
		out[n++] = (char)(high * 16 + low);
		i += 2;
	}
	out[n] = '\0';
	return out;
}

static bool
take_word(struct tls_need *need, const char *s, size_t len)
{
	for (size_t i = 0; i < WORDS_N; i++) {
		if (strlen(words[i].word) == len &&
		    memcmp(words[i].word, s, len) == 0) {
			set_word(need, i);
			return true;
		}
	}
	return false;
}

/* "name=value"; false: no such name, or the value is none. */
static bool
take_setting(struct tls_need *need, struct arena *a, const char *s, size_t len)
{
	const struct {
		const char *name;
		const char **to;
	} names[] = {
		{ "ca=", &need->ca_file },
		{ "certificate=", &need->certificate },
		{ "key=", &need->key },
		{ "fingerprint=", &need->fingerprints[need->fingerprints_n] },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i].name);

		if (len <= n || memcmp(names[i].name, s, n) != 0) {
			continue;
		}
		*names[i].to = take_value(a, s + n, len - n);
		need->fingerprints_n += i == 3 ? 1 : 0;
		return *names[i].to != NULL;
	}
	return false;
}

static size_t
count_words(const char *text)
{
	size_t n = 1;

	for (; *text != '\0'; text++) {
		n += *text == ' ' ? 1 : 0;
	}
	return n;
}

int
tls_need_parse(const char *text, struct arena *a, struct tls_need *out,
               struct err *e)
{
	struct tls_need need = { 0 };

	if (text == NULL || *text == '\0') {
		*out = need;
		return 0;
	}
	need.fingerprints = arena_alloc(a, count_words(text) * sizeof(char *));
	for (const char *s = text; s != NULL;) {
		size_t len = strcspn(s, " ");

		if (!take_word(&need, s, len) &&
		    !take_setting(&need, a, s, len)) {
			return err_set(
				e, ERR_INVALID,
				"what is stored about TLS (%.200s) means "
				"nothing to this version",
				text);
		}
		s = s[len] == ' ' ? s + len + 1 : NULL;
	}
	*out = need;
	return 0;
}

/* ---- floor ---------------------------------------------------------- */

static void
raise_floor(struct tls_floor *f, enum tls_by by, bool trusted)
{
	f->start = true;
	f->mandatory = true;
	f->trusted = f->trusted || trusted;
	f->strict = f->strict || trusted;
	f->by = by;
}

static void
avoid(struct tls_floor *f, enum tls_by by)
{
	f->avoid = true;
	raise_floor(f, by, true);
}

static void
apply_sts(struct tls_floor *f, enum tls_sts sts)
{
	switch (sts) {
	case TLS_STS_NONE:
	case TLS_STS_TESTING:
		return;
	case TLS_STS_ENFORCE:
		raise_floor(f, TLS_BY_MTA_STS, true);
		return;
	case TLS_STS_UNLISTED:
		avoid(f, TLS_BY_MTA_STS);
		return;
	}
}

static void
apply_dane(struct tls_floor *f, enum tls_dane dane)
{
	switch (dane) {
	case TLS_DANE_NONE:
		return;
	case TLS_DANE_USABLE:
		raise_floor(f, TLS_BY_DANE, true);
		f->auth = TLS_AUTH_DANE;
		return;
	case TLS_DANE_UNUSABLE:
		/* Raised further by MTA-STS: then that is who asks. */
		raise_floor(f, f->trusted ? f->by : TLS_BY_DANE, false);
		return;
	case TLS_DANE_FAILED:
		avoid(f, TLS_BY_DANE);
		return;
	}
}

/* What the domain publishes and this mail obeys. */
static void
apply_published(struct tls_floor *f, const struct tls_need *need,
                const struct tls_host *host)
{
	bool own_trust = need->ca_file != NULL || need->fingerprints_n > 0;
	enum tls_dane dane = need->no_dane ? TLS_DANE_NONE : host->dane;
	enum tls_sts sts = need->no_mta_sts ? TLS_STS_NONE : host->sts;

	if (need->optional && !need->require_tls) {
		return;
	}
	if (need->option == TLS_ENFORCED && need->strict && own_trust) {
		return;
	}
	if (dane != TLS_DANE_USABLE) {
		apply_sts(f, sts);
	}
	apply_dane(f, dane);
}

void
tls_floor_set(const struct tls_need *need, const struct tls_host *host,
              struct tls_floor *out)
{
	struct tls_floor f = {
		.start = need->option != TLS_NEVER,
		.strict = need->strict,
		.untrusted = need->untrusted,
		.require_tls = need->require_tls,
	};

	if (need->option == TLS_ENFORCED) {
		raise_floor(&f, TLS_BY_POLICY, need->strict);
	}
	apply_published(&f, need, host);
	if (need->require_tls) {
		bool sure = host->certain || host->sts == TLS_STS_ENFORCE;

		if (!sure && !f.avoid) {
			avoid(&f, TLS_BY_REQUIRETLS);
		} else if (!f.trusted) {
			raise_floor(&f, TLS_BY_REQUIRETLS, true);
		}
	}
	*out = f;
}

/* ---- move ----------------------------------------------------------- */

static enum tls_move
move_untrusted(const struct tls_floor *f)
{
	if (f->trusted) {
		return TLS_MOVE_AWAY;
	}
	if (!f->strict) {
		return TLS_MOVE_ENCRYPTED;
	}
	switch (f->untrusted) {
	case TLS_UNTRUSTED_ENCRYPT:
		break;
	case TLS_UNTRUSTED_CLEAR:
		return f->mandatory ? TLS_MOVE_ENCRYPTED : TLS_MOVE_CLEAR_ANEW;
	case TLS_UNTRUSTED_DEFER:
		return TLS_MOVE_AWAY;
	}
	return TLS_MOVE_ENCRYPTED;
}

enum tls_move
tls_floor_move(const struct tls_floor *f, enum tls_peer peer)
{
	if (f->avoid) {
		return TLS_MOVE_AWAY;
	}
	if (!f->start) {
		return TLS_MOVE_CLEAR;
	}
	switch (peer) {
	case TLS_PEER_SILENT:
	case TLS_PEER_REFUSED:
		return f->mandatory ? TLS_MOVE_AWAY : TLS_MOVE_CLEAR;
	case TLS_PEER_BROKEN:
		return f->mandatory ? TLS_MOVE_AWAY : TLS_MOVE_CLEAR_ANEW;
	case TLS_PEER_UNTRUSTED:
		return move_untrusted(f);
	case TLS_PEER_TRUSTED:
		return TLS_MOVE_VERIFIED;
	}
	return TLS_MOVE_AWAY;
}

/* ---- words ---------------------------------------------------------- */

const char *
tls_move_word(enum tls_move m)
{
	static const char *const all[] = {
		[TLS_MOVE_VERIFIED] = "verified",
		[TLS_MOVE_ENCRYPTED] = "encrypted",
		[TLS_MOVE_CLEAR] = "clear",
		[TLS_MOVE_CLEAR_ANEW] = "clear anew",
		[TLS_MOVE_AWAY] = "never here",
	};

	return all[m];
}

const char *
tls_floor_word(const struct tls_floor *f)
{
	if (f->trusted) {
		return "verified";
	}
	return f->mandatory ? "encrypted" : "nothing";
}

const char *
tls_peer_phrase(enum tls_peer p)
{
	static const char *const all[] = {
		[TLS_PEER_SILENT] = "offers no STARTTLS",
		[TLS_PEER_REFUSED] = "refuses STARTTLS",
		[TLS_PEER_BROKEN] = "fails the TLS handshake",
		[TLS_PEER_UNTRUSTED] = "cannot be trusted",
		[TLS_PEER_TRUSTED] = "is trusted",
	};

	return all[p];
}

const char *
tls_by_word(enum tls_by by)
{
	static const char *const all[] = {
		[TLS_BY_NOBODY] = "nobody",         [TLS_BY_POLICY] = "policy",
		[TLS_BY_MTA_STS] = "mta-sts",       [TLS_BY_DANE] = "dane",
		[TLS_BY_REQUIRETLS] = "requiretls",
	};

	return all[by];
}

const char *
tls_dane_word(enum tls_dane d)
{
	static const char *const all[] = {
		[TLS_DANE_NONE] = "none",
		[TLS_DANE_USABLE] = "usable",
		[TLS_DANE_UNUSABLE] = "unusable",
		[TLS_DANE_FAILED] = "failed",
	};

	return all[d];
}

const char *
tls_sts_word(enum tls_sts s)
{
	static const char *const all[] = {
		[TLS_STS_NONE] = "none",
		[TLS_STS_TESTING] = "testing",
		[TLS_STS_ENFORCE] = "enforce",
		[TLS_STS_UNLISTED] = "unlisted",
	};

	return all[s];
}

/* ---- the table ------------------------------------------------------ */

static const struct {
	const char *mode; /* "": any */
	const char *with;
	struct tls_need need;
	struct tls_host host;
} rows[] = {
	{ "relaxed", "", { .option = TLS_OPPORTUNISTIC }, { 0 } },
	{ "strict", "untrusted encrypt", { .strict = true }, { 0 } },
	{ "strict",
	  "untrusted clear",
	  { .strict = true, .untrusted = TLS_UNTRUSTED_CLEAR },
	  { 0 } },
	{ "strict",
	  "untrusted defer",
	  { .strict = true, .untrusted = TLS_UNTRUSTED_DEFER },
	  { 0 } },
	{ "relaxed", "", { .option = TLS_ENFORCED }, { 0 } },
	{ "strict", "", { .option = TLS_ENFORCED, .strict = true }, { 0 } },
	{ "", "", { .option = TLS_NEVER }, { 0 } },
	{ "", "DANE", { 0 }, { .dane = TLS_DANE_USABLE } },
	{ "", "DANE, unusable", { 0 }, { .dane = TLS_DANE_UNUSABLE } },
	{ "", "DANE, look-up failed", { 0 }, { .dane = TLS_DANE_FAILED } },
	{ "", "MTA-STS", { 0 }, { .sts = TLS_STS_ENFORCE } },
	{ "", "MTA-STS, not listed", { 0 }, { .sts = TLS_STS_UNLISTED } },
	{ "", "REQUIRETLS", { .require_tls = true }, { .certain = true } },
};

static const char *
option_word(enum tls_option o)
{
	switch (o) {
	case TLS_OPPORTUNISTIC:
		return "where possible";
	case TLS_ENFORCED:
		return "enforced_tls";
	case TLS_NEVER:
		return "no_tls";
	}
	return "";
}

int
tls_level_print_table(FILE *out)
{
	static const char *const heads[] = { "silent", "refuses", "broken",
		                             "untrusted", "trusted" };

	(void)fprintf(out, "%-16s%-9s%-22s", "option", "mode", "with");
	for (size_t p = 0; p < sizeof(heads) / sizeof(heads[0]); p++) {
		(void)fprintf(out, "%-12s", heads[p]);
	}
	(void)fputc('\n', out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_floor f;
		bool any = rows[i].mode[0] == '\0' &&
		           rows[i].need.option == TLS_OPPORTUNISTIC;

		tls_floor_set(&rows[i].need, &rows[i].host, &f);
		(void)fprintf(out, "%-16s%-9s%-22s",
		              any ? "any" : option_word(rows[i].need.option),
		              rows[i].mode[0] == '\0' ? "any" : rows[i].mode,
		              rows[i].with);
		for (unsigned p = TLS_PEER_SILENT; p <= TLS_PEER_TRUSTED; p++) {
			(void)fprintf(out, "%-12s",
			              tls_move_word(tls_floor_move(
					      &f, (enum tls_peer)p)));
		}
		(void)fputc('\n', out);
	}
	return ferror(out) != 0 ? -1 : 0;
}
