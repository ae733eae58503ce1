/*
 * What a tag's attributes and inline style say about whether its text can be
 * seen. Style sheets are not read: what they hide counts as seen.
 */
#include <string.h>

#include "mime/html_open.h"

/* Colours that differ by less look the same. */
#define SAME_COLOUR 8
#define VALUE_MAX   64
#define STYLE_MAX   65536

/* What the declarations of one style attribute say. */
struct look {
	bool none;
	bool clipped;    /* overflow: hidden */
	bool no_size;    /* max-height: 0 */
	bool away;       /* far off the page */
	bool outlook;    /* mso-hide: all */
	bool no_opacity; /* opacity: 0 */
	uint32_t firm;   /* properties set with !important */
};

void
html_style_init(struct html_style *s)
{
	s->bits = 0;
	s->text = 0;
	s->behind = 0xffffff;
}

bool
html_style_hides(const struct html_style *s)
{
	if ((s->bits & (HTML_STYLE_GONE | HTML_STYLE_INVISIBLE |
	                HTML_STYLE_TINY | HTML_STYLE_CLEAR)) != 0) {
		return true;
	}
	if (s->text == HTML_COLOUR_ANY || s->behind == HTML_COLOUR_ANY) {
		return false;
	}
	for (int shift = 0; shift < 24; shift += 8) {
		int a = s->text >> shift & 0xff;
		int b = s->behind >> shift & 0xff;

		if (a - b > SAME_COLOUR || b - a > SAME_COLOUR) {
			return false;
		}
	}
	return true;
}

/* ---- values ---- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
starts(const char *v, const char *prefix)
{
	return strncmp(v, prefix, strlen(prefix)) == 0;
}

/* Of a number in thousands; what is behind it at *p. */
static bool
read_number(const char **p, long *out)
{
	const char *at = *p;
	bool minus = *at == '-';
	long n = 0;
	long unit = 1000;
	bool any = false;

	at += *at == '-' || *at == '+' ? 1 : 0;
	for (; (*at >= '0' && *at <= '9') || *at == '.'; at++) {
		if (*at == '.') {
			if (unit != 1000) {
				break;
			}
			unit = 100;
			continue;
		}
		any = true;
		if (unit == 1000) {
			n = n < 1000000000 ? n * 10 + (*at - '0') * 1000 : n;
		} else {
			n += (*at - '0') * unit;
			unit = unit > 1 ? unit / 10 : 0;
		}
	}
	if (!any) {
		return false;
	}
	*out = minus ? -n : n;
	*p = at;
	return true;
}

/* A length of nothing. */
static bool
is_zero(const char *v)
{
	long n;

	return read_number(&v, &n) && n == 0;
}

/* #rgb, #rrggbb and with alpha; p is behind the "#". */
static bool
read_hex(const char *p, int32_t *out, bool *clear)
{
	size_t n = 0;
	uint32_t v = 0;
	int d;

	for (; n < 8; n++) {
		d = hex_digit(p[n]);
		if (d < 0) {
			break;
		}
		v = v << 4 | (uint32_t)d;
	}
	*clear = false;
	if (n == 4 || n == 8) {
		*clear = n == 4 ? (v & 0xf) == 0 : (v & 0xff) == 0;
		v >>= n == 4 ? 4 : 8;
		n -= n == 4 ? 1 : 2;
	}
	if (n == 3) {
		v = (v & 0xf00) * 0x1100 + (v & 0xf0) * 0x110 +
		    (v & 0xf) * 0x11;
	} else if (n != 6) {
		return false;
	}
	*out = (int32_t)v;
	return true;
}

/* rgb(255, 100%, 0) and with a fourth: alpha. */
static bool
read_rgb(const char *p, int32_t *out, bool *clear)
{
	int32_t v = 0;
	long n;

	for (int i = 0; i < 4; i++) {
		while (*p == ' ' || *p == ',' || *p == '/') {
			p++;
		}
		if (!read_number(&p, &n)) {
			*out = v;
			return i == 3;
		}
		if (*p == '%') {
			n = i < 3 ? n * 255 / 100 : n / 100;
			p++;
		}
		n = n < 0 ? 0 : n;
		if (i == 3) {
			*clear = n == 0;
		} else {
			n = n > 255000 ? 255000 : n;
			v = v << 8 | (int32_t)(n / 1000);
		}
	}
	*out = v;
	return true;
}

/* false: no colour at all. *clear: transparent. */
static bool
read_colour(const char *v, int32_t *out, bool *clear)
{
	static const struct {
		const char *name;
		int32_t colour;
	} names[] = {
		{ "white", 0xffffff },      { "black", 0x000000 },
		{ "red", 0xff0000 },        { "blue", 0x0000ff },
		{ "green", 0x008000 },      { "gray", 0x808080 },
		{ "grey", 0x808080 },       { "silver", 0xc0c0c0 },
		{ "navy", 0x000080 },       { "yellow", 0xffff00 },
		{ "snow", 0xfffafa },       { "ghostwhite", 0xf8f8ff },
		{ "ivory", 0xfffff0 },      { "floralwhite", 0xfffaf0 },
		{ "windowtext", 0x000000 }, { "window", 0xffffff },
		{ "maroon", 0x800000 },     { "orange", 0xffa500 },
		{ "whitesmoke", 0xf5f5f5 }, { "mintcream", 0xf5fffa },
	};

	*clear = false;
	if (*v == '#') {
		return read_hex(v + 1, out, clear);
	}
	if (starts(v, "rgb(") || starts(v, "rgba(")) {
		return read_rgb(strchr(v, '(') + 1, out, clear);
	}
	if (strcmp(v, "transparent") == 0) {
		*clear = true;
		return true;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(v, names[i].name) == 0) {
			*out = names[i].colour;
			return true;
		}
	}
	*out = HTML_COLOUR_ANY;
	return html_has(*v, HTML_LETTER) && strcmp(v, "inherit") != 0;
}

/* ---- properties ---- */

static void
set_text(struct html_style *s, const char *v)
{
	int32_t colour = s->text;
	bool clear;

	if (read_colour(v, &colour, &clear)) {
		s->text = colour;
		s->bits = (uint8_t)(s->bits & ~HTML_STYLE_CLEAR);
		s->bits |= clear ? HTML_STYLE_CLEAR : 0;
	}
}

static void
set_behind(struct html_style *s, const char *v)
{
	int32_t colour = s->behind;
	bool clear;

	if (strstr(v, "url(") != NULL || strstr(v, "gradient(") != NULL) {
		s->behind = HTML_COLOUR_ANY;
	} else if (read_colour(v, &colour, &clear) && !clear &&
	           strcmp(v, "none") != 0) {
		s->behind = colour;
	}
}

/* A relative size of nothing is nothing. */
static void
set_size(struct html_style *s, const char *v)
{
	long n;

	if (!read_number(&v, &n)) {
		if (html_has(*v, HTML_LETTER) && strcmp(v, "inherit") != 0 &&
		    strcmp(v, "smaller") != 0 && strcmp(v, "larger") != 0) {
			s->bits = (uint8_t)(s->bits & ~HTML_STYLE_TINY);
		}
		return;
	}
	if (n == 0) {
		s->bits |= HTML_STYLE_TINY;
	} else if (*v != '%' && !(starts(v, "em") || starts(v, "ex"))) {
		s->bits = (uint8_t)(s->bits & ~HTML_STYLE_TINY);
	}
}

/* The size within "bold 12px/1.5 Arial". */
static void
set_font(struct html_style *s, const char *v)
{
	for (const char *p = v; p != NULL && *p != '\0';) {
		const char *at = p;
		long n;

		if (read_number(&at, &n) &&
		    (n == 0 || html_has(*at, HTML_LETTER) || *at == '/' ||
		     *at == '%')) {
			set_size(s, p);
			return;
		}
		p = strchr(p, ' ');
		p = p != NULL ? p + 1 : NULL;
	}
}

static void
set_visibility(struct html_style *s, const char *v)
{
	if (strcmp(v, "visible") == 0) {
		s->bits = (uint8_t)(s->bits & ~HTML_STYLE_INVISIBLE);
	} else if (strcmp(v, "hidden") == 0 || strcmp(v, "collapse") == 0) {
		s->bits |= HTML_STYLE_INVISIBLE;
	}
}

static void
set_display(struct look *l, const char *v)
{
	static const char *const known[] = { "block",   "inline",  "table",
		                             "flex",    "grid",    "list-item",
		                             "inherit", "initial", "contents",
		                             "unset",   "flow",    "revert" };

	if (strcmp(v, "none") == 0) {
		l->none = true;
		return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (starts(v, known[i])) {
			l->none = false;
		}
	}
}

static bool
is_far(const char *v)
{
	long n;

	return read_number(&v, &n) && n <= -900000;
}

enum property {
	DISPLAY = 0,
	VISIBILITY,
	MSO_HIDE,
	OPACITY,
	FONT_SIZE,
	FONT,
	COLOUR,
	BACKGROUND,
	BACKGROUND_COLOUR,
	BACKGROUND_IMAGE,
	MAX_HEIGHT,
	HEIGHT,
	MAX_WIDTH,
	WIDTH,
	OVERFLOW,
	LEFT,
	TOP,
	TEXT_INDENT,
	PROPERTIES
};

static const char *const property_names[PROPERTIES] = {
	"display",
	"visibility",
	"mso-hide",
	"opacity",
	"font-size",
	"font",
	"color",
	"background",
	"background-color",
	"background-image",
	"max-height",
	"height",
	"max-width",
	"width",
	"overflow",
	"left",
	"top",
	"text-indent",
};

static enum property
find_property(const char *name, size_t len)
{
	/* Most that mail has are none of these. */
	if (len < 3 || strchr("dvmofcbhwlt", *name | 0x20) == NULL) {
		return PROPERTIES;
	}
	for (int i = 0; i < PROPERTIES; i++) {
		if (property_names[i][0] == (*name | 0x20) &&
		    html_equal(name, len, property_names[i])) {
			return (enum property)i;
		}
	}
	return PROPERTIES;
}

static void
set_property(struct html_style *s, struct look *l, enum property what,
             const char *v)
{
	switch (what) {
	case DISPLAY:
		set_display(l, v);
		break;
	case VISIBILITY:
		set_visibility(s, v);
		break;
	case MSO_HIDE:
		l->outlook = strcmp(v, "all") == 0;
		break;
	case OPACITY:
		l->no_opacity = is_zero(v);
		break;
	case FONT_SIZE:
		set_size(s, v);
		break;
	case FONT:
		set_font(s, v);
		break;
	case COLOUR:
		set_text(s, v);
		break;
	case BACKGROUND:
	case BACKGROUND_COLOUR:
	case BACKGROUND_IMAGE:
		set_behind(s, v);
		break;
	case MAX_HEIGHT:
	case HEIGHT:
	case MAX_WIDTH:
	case WIDTH:
		l->no_size = is_zero(v) || l->no_size;
		break;
	case OVERFLOW:
		l->clipped = strcmp(v, "hidden") == 0;
		break;
	case LEFT:
	case TOP:
	case TEXT_INDENT:
		l->away = is_far(v) || l->away;
		break;
	case PROPERTIES:
		break;
	}
}

/* ---- declarations ---- */

/* A value in lower case, blanks as one, without "!important" (*firm). */
static void
tidy_value(const char *p, const char *end, char out[VALUE_MAX], bool *firm)
{
	size_t n = 0;

	*firm = false;
	while (p < end && n + 1 < VALUE_MAX) {
		char c = *p++;

		if (html_has(c, HTML_BLANK)) {
			if (n == 0 || out[n - 1] == ' ') {
				continue;
			}
			c = ' ';
		} else if (c == '!') {
			*firm = true;
			break;
		} else if (c >= 'A' && c <= 'Z') {
			c = (char)(c | 0x20);
		}
		out[n++] = c;
	}
	if (n > 0 && out[n - 1] == ' ') {
		n--;
	}
	out[n] = '\0';
}

static void
declare(struct html_style *s, struct look *l, const char *p, const char *colon,
        const char *end)
{
	char value[VALUE_MAX];
	const char *name_end = colon;
	enum property what;
	bool firm;

	while (p < colon && html_has(*p, HTML_BLANK)) {
		p++;
	}
	while (name_end > p && html_has(name_end[-1], HTML_BLANK)) {
		name_end--;
	}
	what = find_property(p, (size_t)(name_end - p));
	if (what == PROPERTIES) {
		return;
	}
	tidy_value(colon + 1, end, value, &firm);
	if (!firm && (l->firm & 1U << what) != 0) {
		return;
	}
	l->firm |= firm ? 1U << what : 0;
	set_property(s, l, what, value);
}

/* Declarations stand between ";" outside of quotes and brackets. */
static void
read_style(struct html_style *s, struct look *l, const char *p, const char *end)
{
	const char *start = p;
	const char *colon = NULL;
	unsigned brackets = 0;
	char quote = '\0';

	for (; p <= end; p++) {
		char c = p < end ? *p : ';';

		if (c > ';' || (c >= 'A' && c <= 'z')) {
			continue;
		}
		if (p < end && quote != '\0') {
			quote = c == quote ? '\0' : quote;
		} else if (p < end && (c == '"' || c == '\'')) {
			quote = c;
		} else if (c == '(') {
			brackets++;
		} else if (c == ')') {
			brackets -= brackets > 0 ? 1 : 0;
		} else if (c == ':' && colon == NULL) {
			colon = p;
		} else if (c == ';' && (brackets == 0 || p == end)) {
			if (colon != NULL) {
				declare(s, l, start, colon, p);
			}
			start = p + 1;
			colon = NULL;
		}
	}
}

/* Comments go, escapes ("\6e") become what they stand for. */
static void
plain_style(const char *p, const char *end, struct buf *out)
{
	while (p < end) {
		if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
			const char *stop =
				memmem(p + 2, (size_t)(end - p - 2), "*/", 2);

			p = stop != NULL ? stop + 2 : end;
			continue;
		}
		if (*p == '\\' && end - p >= 2 && hex_digit(p[1]) >= 0) {
			uint32_t code = 0;
			char c;

			p++;
			for (int i = 0; i < 6 && p < end && hex_digit(*p) >= 0;
			     i++) {
				code = code << 4 | (uint32_t)hex_digit(*p++);
			}
			if (p < end && html_has(*p, HTML_BLANK)) {
				p++;
			}
			c = code > 0 && code < 0x7f ? (char)code : '?';
			buf_add(out, &c, 1);
			continue;
		}
		if (*p == '\\') {
			p++;
			continue;
		}
		buf_add(out, p++, 1);
	}
}

static void
apply_style(struct html_style *s, struct look *l, const struct html_attr *a)
{
	const char *p = a->value;
	size_t len = a->value_len;
	struct buf resolved;
	struct buf plain;

	if (memchr(p, '&', len) == NULL && memchr(p, '\\', len) == NULL &&
	    memmem(p, len, "/*", 2) == NULL) {
		read_style(s, l, p, p + len);
		return;
	}
	/* Readers may cut, too: longer ones are rare and do not hide. */
	len = len < STYLE_MAX ? len : STYLE_MAX;
	buf_init(&resolved, 3 * STYLE_MAX + 16);
	buf_init(&plain, 3 * STYLE_MAX + 16);
	if (html_put_value(&resolved, p, len) == 0 && buf_len(&resolved) > 0) {
		p = buf_ptr(&resolved);
		plain_style(p, p + buf_len(&resolved), &plain);
		if (buf_len(&plain) > 0) {
			p = buf_ptr(&plain);
			read_style(s, l, p, p + buf_len(&plain));
		}
	}
	buf_clear(&plain);
	buf_clear(&resolved);
}

/* ---- attributes ---- */

enum {
	SEEN_STYLE = 1,
	SEEN_HIDDEN = 2,
	SEEN_COLOUR = 4,
	SEEN_BEHIND = 8,
	SEEN_OPEN = 16,
	SEEN_PICTURE = 32,
};

static unsigned
attr_kind(const struct html_attr *a, unsigned element)
{
	switch (a->name_len) {
	case 4:
		if (element == HTML_BODY && html_equal(a->name, 4, "text")) {
			return SEEN_COLOUR;
		}
		return html_equal(a->name, 4, "open") ? SEEN_OPEN : 0;
	case 5:
		if (element == HTML_FONT && html_equal(a->name, 5, "color")) {
			return SEEN_COLOUR;
		}
		return html_equal(a->name, 5, "style") ? SEEN_STYLE : 0;
	case 6:
		return html_equal(a->name, 6, "hidden") ? SEEN_HIDDEN : 0;
	case 7:
		return html_equal(a->name, 7, "bgcolor") ? SEEN_BEHIND : 0;
	case 10:
		return html_equal(a->name, 10, "background") ? SEEN_PICTURE : 0;
	default:
		return 0;
	}
}

/* Old attributes know colours without "#" too. */
static void
colour_attr(struct html_style *s, const struct html_attr *a, bool behind)
{
	char value[VALUE_MAX + 1] = "#";
	bool firm;
	int32_t colour;
	bool clear;

	tidy_value(a->value, a->value + a->value_len, value + 1, &firm);
	if (!read_hex(value + 1, &colour, &clear)) {
		memmove(value, value + 1, VALUE_MAX);
	}
	if (behind) {
		set_behind(s, value);
	} else {
		set_text(s, value);
	}
}

void
html_style_apply(struct html_style *s, const struct html_token *t,
                 unsigned element, unsigned flags)
{
	const char *p = t->name + t->name_len;
	const char *end = t->name + (t->end - t->start) - 1;
	struct html_style was = *s;
	struct html_attr style = { 0 };
	struct html_attr a;
	struct look l = { 0 };
	unsigned seen = 0;

	s->bits = (uint8_t)(s->bits & ~HTML_STYLE_OWN);
	while (end - p > 1 && html_attr_next(&p, end, &a) == HTML_ATTR) {
		unsigned kind = attr_kind(&a, element);

		if (kind == 0 || (seen & kind) != 0) {
			continue;
		}
		seen |= kind;
		if (kind == SEEN_STYLE) {
			style = a;
		} else if (kind == SEEN_COLOUR || kind == SEEN_BEHIND) {
			colour_attr(s, &a, kind == SEEN_BEHIND);
		} else if (kind == SEEN_PICTURE && a.value_len > 0) {
			s->behind = HTML_COLOUR_ANY;
		}
	}
	/* An inline style beats attributes, the hidden one too. */
	l.none = (seen & SEEN_HIDDEN) != 0 || (flags & HTML_GONE) != 0 ||
	         (element == HTML_DIALOG && (seen & SEEN_OPEN) == 0);
	if (style.value_len > 0) {
		apply_style(s, &l, &style);
	}
	if (l.none || l.outlook || l.no_opacity || l.away ||
	    (l.clipped && l.no_size) || (flags & HTML_GONE) != 0) {
		s->bits |= HTML_STYLE_GONE;
	}
	if (s->bits != (was.bits & ~HTML_STYLE_OWN) || s->text != was.text ||
	    s->behind != was.behind) {
		s->bits |= HTML_STYLE_OWN;
	}
}
