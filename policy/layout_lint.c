/*
 * What "sortie check" says of layouts: would each do what its author wants, as
 * far as that can be told without a message.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "mime/fold.h"
#include "mime/html.h"
#include "policy/directory.h"
#include "policy/layout_private.h"
#include "policy/stationery.h"

#define UNIQUE_MIN  12           /* characters */
#define IMAGE_LARGE (100 * 1024) /* octets: with every message */

struct lint {
	const struct conf *c;
	struct conf_findings *f;
	const struct directory *directory;
	bool any_attribute; /* the directory cannot be read */
};

/* ---- attributes ------------------------------------------------------- */

static bool
is_attribute(const struct lint *l, const char *name)
{
	const char *known = NULL;

	for (size_t i = 0; (known = stationery_attribute(i)) != NULL; i++) {
		if (strcmp(known, name) == 0) {
			return true;
		}
	}
	if (strncmp(name, "sender.", 7) != 0) {
		return false;
	}
	if (l->any_attribute) {
		return true;
	}
	for (size_t i = 0; l->directory != NULL &&
	                   (known = directory_column(l->directory, i)) != NULL;
	     i++) {
		if (strcmp(known, name + 7) == 0) {
			return true;
		}
	}
	return false;
}

static void
check_attributes(const struct lint *l, const struct layout *y,
                 const struct conf_file *file, const struct template *t)
{
	const char *name = NULL;

	for (size_t i = 0;
	     t != NULL && (name = template_attribute(t, i)) != NULL; i++) {
		if (is_attribute(l, name)) {
			continue;
		}
		conf_find(l->f, y->conf->source, y->conf->line, false,
		          "layout %s: %s: there is no attribute %s; %s",
		          y->conf->name, file->name, name,
		          strncmp(name, "sender.", 7) != 0
		                  ? "those of the directory begin with "
		                    "\"sender.\""
		          : l->c->directory.file == NULL
		                  ? "directory.file names no directory"
		                  : "the directory has no such column");
	}
}

/* ---- unique text ------------------------------------------------------ */

/* template_value */
static const char *
same_value(void *arg, const char *name)
{
	(void)name;
	return arg;
}

/* What a message would get of it, and whether the unique text is in there. */
static bool
half_has(const struct layout *y, const struct template *t, bool html,
         const char *value)
{
	struct buf out;
	struct buf seen;
	bool found = false;

	if (t == NULL) {
		return false;
	}
	buf_init(&out, LAYOUT_TEXT_MAX);
	buf_init(&seen, LAYOUT_TEXT_MAX);
	if (template_expand(t, same_value, mem_unconst(value), &out, NULL) ==
	            0 &&
	    buf_len(&out) > 0 &&
	    (!html ||
	     html_visible_text(buf_ptr(&out), buf_len(&out), &seen) == 0)) {
		const struct buf *text = html ? &seen : &out;

		found = buf_len(text) > 0 &&
		        fold_contains(buf_ptr(text), buf_len(text), y->unique,
		                      y->unique_len);
	}
	buf_clear(&out);
	buf_clear(&seen);
	return found;
}

static void
check_form(const struct lint *l, const struct layout *y,
           const struct layout_form *form, bool html, const char *where)
{
	static const char some[] = "https://www.example.com/";

	if (half_has(y, form->above, html, "") ||
	    half_has(y, form->below, html, "")) {
		return;
	}
	if (half_has(y, form->above, html, some) ||
	    half_has(y, form->below, html, some)) {
		conf_find(l->f, y->conf->source, y->conf->line, false,
		          "layout %s: %s has its unique_text in a line that "
		          "vanishes with an attribute; put it in one that "
		          "always stays",
		          y->conf->name, where);
		return;
	}
	conf_find(l->f, y->conf->source, y->conf->line, false,
	          "layout %s: the visible text of %s lacks its unique_text; a "
	          "message would get the layout again and again",
	          y->conf->name, where);
}

/* Words that are in mail anyway. */
/* clang-format off */
static const char *const common[] = {
	"a", "an", "and", "any", "are", "attachment", "attachments", "best",
	"by", "company", "confidential", "contact", "dear", "disclaimer",
	"e", "email", "fax", "for", "from", "greetings", "hello", "in",
	"information", "intended", "internet", "iphone", "is", "it", "kind",
	"legal", "ltd", "gmbh", "inc", "mail", "many", "may", "message",
	"mobile", "my", "notice", "of", "only", "or", "our", "phone",
	"please", "privacy", "privileged", "recipient", "recipients",
	"regards", "sent", "sender", "signature", "sincerely", "t", "tel",
	"telephone", "thank", "thanks", "that", "the", "this", "to", "us",
	"visit", "warm", "we", "website", "wishes", "with", "www", "you",
	"your", "yours",
};

/* clang-format on */

/* Of such words only? Folded text has no blanks, so that the text is looked
 * at as it is written. */
static bool
is_common(const char *text)
{
	char word[32];
	size_t len = 0;

	for (;; text++) {
		bool letter = (*text >= 'a' && *text <= 'z') ||
		              (*text >= 'A' && *text <= 'Z');
		size_t i = 0;

		if (letter && len < sizeof(word) - 1) {
			word[len++] = (char)(*text | 0x20);
			continue;
		}
		word[len] = '\0';
		while (len > 0 && i < sizeof(common) / sizeof(common[0]) &&
		       strcmp(common[i], word) != 0) {
			i++;
		}
		if (letter || i == sizeof(common) / sizeof(common[0]) ||
		    (unsigned char)*text >= 0x80 ||
		    (*text >= '0' && *text <= '9')) {
			return false;
		}
		if (*text == '\0') {
			return true;
		}
		len = 0;
	}
}

static size_t
characters(const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		n += ((unsigned char)s[i] & 0xc0) != 0x80 ? 1 : 0;
	}
	return n;
}

static void
check_unique(const struct lint *l, const struct layout *y)
{
	const struct conf_layout *conf = y->conf;

	if (y->unique_len == 0) {
		conf_find(l->f, conf->source, conf->line, true,
		          "layout %s has no unique_text: a message gets it "
		          "again every time it passes, as replies do",
		          conf->name);
		return;
	}
	if (strstr(conf->unique_text, "{{") != NULL) {
		conf_find(l->f, conf->source, conf->line, false,
		          "layout %s: unique_text has an attribute in it, "
		          "whose value differs; take text that stays",
		          conf->name);
		return;
	}
	if (characters(y->unique, y->unique_len) < UNIQUE_MIN) {
		conf_find(l->f, conf->source, conf->line, true,
		          "layout %s: unique_text is short; mail that has it "
		          "by chance gets no stationery",
		          conf->name);
	} else if (is_common(conf->unique_text)) {
		conf_find(l->f, conf->source, conf->line, true,
		          "layout %s: unique_text is of common words; mail "
		          "that has them by chance gets no stationery",
		          conf->name);
	}
	if (y->has_html) {
		check_form(l, y, &y->html, true, conf->html.name);
	}
	if (conf->text.data != NULL) {
		check_form(l, y, &y->text, false, conf->text.name);
	} else if (y->has_text) {
		check_form(l, y, &y->text, false, "the text from HTML");
	}
}

/* ---- the rest --------------------------------------------------------- */

static bool
is_used(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->policies_n; i++) {
		const char *layout = c->policies[i].layout;

		if (layout != NULL && strcmp(layout, name) == 0) {
			return true;
		}
	}
	return false;
}

static void
check_layout(const struct lint *l, const struct conf_layout *conf)
{
	struct layout y;
	struct err e = { 0 };
	const char *left_out = NULL;

	if (layout_compile(conf, &y, &left_out, &e) == -1) {
		conf_find(l->f, conf->source, conf->line, false,
		          "layout %s: %s", conf->name, e.text);
	} else {
		check_attributes(l, &y, &conf->html, y.html.above);
		check_attributes(l, &y, &conf->html, y.html.below);
		if (conf->text.data != NULL) {
			check_attributes(l, &y, &conf->text, y.text.above);
			check_attributes(l, &y, &conf->text, y.text.below);
		}
		check_unique(l, &y);
	}
	if (left_out != NULL) {
		conf_find(l->f, conf->source, conf->line, true,
		          "layout %s: %s: %s is left out, it would reach into "
		          "the message; write styles into style attributes",
		          conf->name, conf->html.name, left_out);
	}
	for (size_t i = 0; i < conf->images_n; i++) {
		if (conf->images[i].len > IMAGE_LARGE) {
			conf_find(l->f, conf->source, conf->line, true,
			          "layout %s: %s has %zu KB, with every "
			          "message",
			          conf->name, conf->images[i].name,
			          conf->images[i].len / 1024);
		}
	}
	if (!is_used(l->c, conf->name)) {
		conf_find(l->f, conf->source, conf->line, true,
		          "layout %s is used by no policy", conf->name);
	}
	layout_clear(&y);
}

void
layouts_lint(const struct conf *c, const struct conf_file *directory,
             struct conf_findings *findings)
{
	struct lint l = { .c = c, .f = findings };
	struct directory *d = NULL;
	struct err e = { 0 };

	if (directory->data != NULL) {
		d = directory_new(directory->data, directory->len, &e);
		if (d == NULL) {
			conf_find(findings, c->directory.source,
			          c->directory.line, false,
			          "directory.file: %s: %s", directory->name,
			          e.text);
		}
	}
	l.directory = d;
	l.any_attribute = c->directory.file != NULL && d == NULL;
	for (size_t i = 0; i < c->layouts_n; i++) {
		check_layout(&l, &c->layouts[i]);
	}
	directory_unref(&d);
}
