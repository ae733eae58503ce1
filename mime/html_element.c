/*
 * The elements of HTML, and what the standard's tree construction does with
 * each; names that it does not know are ordinary elements.
 */
#include <string.h>

#include "mime/html_private.h"

#define DIVISION     (HTML_SPECIAL | HTML_CLOSES_P | HTML_BLOCK)
#define NAME_MAX_LEN 10

struct info {
	char name[NAME_MAX_LEN + 2];
	uint16_t flags;
	uint8_t element; /* 0: HTML_NAMED and its place in the table */
};

/* Sorted. */
static const struct info elements[] = {
	{ "a", HTML_FORMATTING, HTML_A },
	{ "address", DIVISION | HTML_ADDRESS, 0 },
	{ "applet", HTML_SPECIAL | HTML_BARRIER | HTML_MARKER, 0 },
	{ "area", HTML_VOID | HTML_SPECIAL, 0 },
	{ "article", DIVISION, 0 },
	{ "aside", DIVISION, 0 },
	{ "audio", HTML_GONE, 0 },
	{ "b", HTML_FORMATTING, 0 },
	{ "base", HTML_VOID | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "basefont", HTML_VOID | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "bgsound", HTML_VOID | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "big", HTML_FORMATTING, 0 },
	{ "blockquote", DIVISION | HTML_PARA, 0 },
	{ "body", HTML_SPECIAL | HTML_BLOCK, HTML_BODY },
	{ "br", HTML_VOID | HTML_SPECIAL, HTML_BR },
	{ "button", HTML_SPECIAL, HTML_BUTTON },
	{ "canvas", HTML_GONE, 0 },
	{ "caption",
	  HTML_SPECIAL | HTML_BARRIER | HTML_MARKER | HTML_TABLE_PART |
	          HTML_BLOCK,
	  HTML_CAPTION },
	{ "center", DIVISION, 0 },
	{ "code", HTML_FORMATTING, 0 },
	{ "col", HTML_VOID | HTML_TABLE_PART | HTML_SPECIAL, 0 },
	{ "colgroup", HTML_TABLE_PART | HTML_SPECIAL, HTML_ROWS },
	{ "datalist", HTML_GONE, 0 },
	{ "dd", DIVISION, HTML_DD },
	{ "details", DIVISION, HTML_DETAILS },
	{ "dialog", DIVISION, HTML_DIALOG },
	{ "dir", DIVISION, HTML_LIST },
	{ "div", DIVISION | HTML_ADDRESS, HTML_DIV },
	{ "dl", DIVISION | HTML_PARA, 0 },
	{ "dt", DIVISION, HTML_DT },
	{ "em", HTML_FORMATTING, 0 },
	{ "embed", HTML_VOID | HTML_SPECIAL, 0 },
	{ "fieldset", DIVISION, 0 },
	{ "figcaption", DIVISION, 0 },
	{ "figure", DIVISION, 0 },
	{ "font", HTML_FORMATTING, HTML_FONT },
	{ "footer", DIVISION, 0 },
	{ "form", DIVISION, HTML_FORM },
	{ "frame", HTML_VOID | HTML_SPECIAL, 0 },
	{ "frameset", HTML_SPECIAL, HTML_FRAMESET },
	{ "h1", DIVISION | HTML_PARA, HTML_HEADING },
	{ "h2", DIVISION | HTML_PARA, HTML_HEADING },
	{ "h3", DIVISION | HTML_PARA, HTML_HEADING },
	{ "h4", DIVISION | HTML_PARA, HTML_HEADING },
	{ "h5", DIVISION | HTML_PARA, HTML_HEADING },
	{ "h6", DIVISION | HTML_PARA, HTML_HEADING },
	{ "head", HTML_SPECIAL, HTML_HEAD },
	{ "header", DIVISION, 0 },
	{ "hgroup", DIVISION, 0 },
	{ "hr", DIVISION | HTML_VOID, HTML_HR },
	{ "html", HTML_SPECIAL | HTML_BARRIER | HTML_BLOCK, HTML_HTML },
	{ "i", HTML_FORMATTING, 0 },
	{ "iframe", HTML_RAW | HTML_SPECIAL, 0 },
	{ "image", HTML_VOID, HTML_IMG },
	{ "img", HTML_VOID | HTML_SPECIAL, HTML_IMG },
	{ "input", HTML_VOID | HTML_SPECIAL, 0 },
	{ "keygen", HTML_VOID | HTML_SPECIAL, 0 },
	{ "legend", HTML_BLOCK, 0 },
	{ "li", DIVISION, HTML_LI },
	{ "link", HTML_VOID | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "listing", DIVISION | HTML_PARA, HTML_PRE },
	{ "main", DIVISION, 0 },
	{ "marquee", HTML_SPECIAL | HTML_BARRIER | HTML_MARKER | HTML_BLOCK,
	  0 },
	{ "math", 0, HTML_FOREIGN },
	{ "menu", DIVISION | HTML_PARA, HTML_LIST },
	{ "meta", HTML_VOID | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "nav", DIVISION, 0 },
	{ "nobr", HTML_FORMATTING, HTML_NOBR },
	{ "noembed", HTML_RAW | HTML_SPECIAL, 0 },
	{ "noframes", HTML_RAW | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "noscript", HTML_SPECIAL, HTML_NOSCRIPT },
	{ "object", HTML_SPECIAL | HTML_BARRIER | HTML_MARKER, 0 },
	{ "ol", DIVISION | HTML_PARA | HTML_ITEM_SCOPE, HTML_OL },
	{ "optgroup", HTML_BLOCK, 0 },
	{ "option", HTML_BLOCK, HTML_OPTION },
	{ "p", DIVISION | HTML_PARA | HTML_ADDRESS, HTML_P },
	{ "param", HTML_VOID | HTML_SPECIAL, 0 },
	{ "plaintext", HTML_RAW | HTML_SPECIAL | HTML_CLOSES_P, 0 },
	{ "pre", DIVISION | HTML_PARA, HTML_PRE },
	{ "rp", HTML_GONE, 0 },
	{ "s", HTML_FORMATTING, 0 },
	{ "script", HTML_RAW | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "search", DIVISION, 0 },
	{ "section", DIVISION, 0 },
	{ "select", HTML_SPECIAL, HTML_SELECT },
	{ "small", HTML_FORMATTING, 0 },
	{ "source", HTML_VOID | HTML_SPECIAL, 0 },
	{ "strike", HTML_FORMATTING, 0 },
	{ "strong", HTML_FORMATTING, 0 },
	{ "style", HTML_RAW | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "summary", DIVISION, 0 },
	{ "svg", 0, HTML_FOREIGN },
	{ "table", HTML_SPECIAL | HTML_BARRIER | HTML_BLOCK, HTML_TABLE },
	{ "tbody", HTML_TABLE_PART | HTML_SPECIAL | HTML_BLOCK, HTML_ROWS },
	{ "td", HTML_SPECIAL | HTML_BARRIER | HTML_MARKER | HTML_TABLE_PART,
	  HTML_CELL },
	{ "template",
	  HTML_SPECIAL | HTML_BARRIER | HTML_MARKER | HTML_HEAD_PART |
	          HTML_GONE,
	  HTML_TEMPLATE },
	{ "textarea", HTML_RAW | HTML_SPECIAL, 0 },
	{ "tfoot", HTML_TABLE_PART | HTML_SPECIAL | HTML_BLOCK, HTML_ROWS },
	{ "th", HTML_SPECIAL | HTML_BARRIER | HTML_MARKER | HTML_TABLE_PART,
	  HTML_CELL },
	{ "thead", HTML_TABLE_PART | HTML_SPECIAL | HTML_BLOCK, HTML_ROWS },
	{ "title", HTML_RAW | HTML_HEAD_PART | HTML_SPECIAL, 0 },
	{ "tr", HTML_TABLE_PART | HTML_SPECIAL | HTML_BLOCK, HTML_ROW },
	{ "track", HTML_VOID | HTML_SPECIAL, 0 },
	{ "tt", HTML_FORMATTING, 0 },
	{ "u", HTML_FORMATTING, 0 },
	{ "ul", DIVISION | HTML_PARA | HTML_ITEM_SCOPE, HTML_LIST },
	{ "video", HTML_GONE, 0 },
	{ "wbr", HTML_VOID | HTML_SPECIAL, 0 },
	{ "xmp", HTML_RAW | HTML_SPECIAL | HTML_CLOSES_P, 0 },
};

#define COUNT (sizeof(elements) / sizeof(elements[0]))

_Static_assert(HTML_NAMED + COUNT <= HTML_ELEMENTS, "numbers are octets");

unsigned
html_element(const char *name, size_t len, unsigned *flags_r)
{
	char key[NAME_MAX_LEN + 2] = { 0 };
	unsigned hash = (unsigned)len;
	size_t low = 0;
	size_t high = COUNT;

	*flags_r = 0;
	for (size_t i = 0; i < len && i < NAME_MAX_LEN; i++) {
		char c = name[i];

		key[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
		hash = hash * 31 + (unsigned char)key[i];
	}
	while (len <= NAME_MAX_LEN && low < high) {
		size_t mid = low + (high - low) / 2;
		const struct info *e = &elements[mid];
		int order = memcmp(key, e->name, NAME_MAX_LEN);

		if (order == 0) {
			*flags_r = e->flags;
			return e->element != 0 ? e->element
			                       : HTML_NAMED + (unsigned)mid;
		}
		if (order < 0) {
			high = mid;
		} else {
			low = mid + 1;
		}
	}
	return hash % HTML_OTHERS;
}
