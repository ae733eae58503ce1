/*
 * Layouts for tests, made in memory.
 */
#include "tests/unit/common_stationery.h"

#include <string.h>

#include "mime/fold.h"
#include "tests/unit/common_need.h"

static struct template *
compile(const char *text, enum template_kind kind)
{
	struct err e = { 0 };
	struct template *t = template_new(text, strlen(text), kind, &e);

	NEED(t != NULL);
	return t;
}

void
common_stationery_init(struct common_stationery *s, unsigned forms)
{
	static const char png[] = "\x89PNG\r\n\x1a\n and what an image holds";
	struct layout *l = &s->layout;
	struct buf folded;

	*s = (struct common_stationery){
		.conf = { .name = "corporate",
		          .unique_text = COMMON_UNIQUE,
		          .placement = "marker",
		          .tnef = "edit",
		          .signed_mail = "untouched",
		          .on_failure = "send" },
		.image = { .name = "logo.png",
		           .type = "image/png",
		           .data = png,
		           .len = sizeof(png) - 1 },
	};
	l->conf = &s->conf;
	l->has_html = (forms & COMMON_HTML) != 0;
	l->has_text = (forms & COMMON_TEXT) != 0;
	if (l->has_html) {
		l->html.below = compile(
			(forms & COMMON_IMAGE) != 0
				? "<p>" COMMON_UNIQUE
				  "</p><p>{{sender.address}}"
				  "<img src=\"cid:logo.png\" alt=\"\"></p>"
			: (forms & COMMON_PLAIN_BELOW) != 0
				? "<p>" COMMON_UNIQUE "</p>"
				: "<p>" COMMON_UNIQUE " \xe2\x82\xac</p>"
				  "<p>{{sender.address}}</p>",
			TEMPLATE_HTML);
		if ((forms & COMMON_ABOVE) != 0) {
			l->html.above = compile("<p>" COMMON_BANNER "</p>",
			                        TEMPLATE_HTML);
		}
		l->images = &s->image;
		l->images_n = (forms & COMMON_IMAGE) != 0 ? 1 : 0;
	}
	if (l->has_text) {
		l->text.below =
			compile((forms & COMMON_PLAIN_BELOW) != 0
		                        ? COMMON_UNIQUE "\n"
		                        : COMMON_UNIQUE " \xe2\x82\xac\n"
		                                        "{{sender.address}}\n",
		                TEMPLATE_TEXT);
		if ((forms & COMMON_ABOVE) != 0) {
			l->text.above =
				compile(COMMON_BANNER "\n", TEMPLATE_TEXT);
		}
	}
	buf_init(&folded, sizeof(s->folded) - 1);
	NEED(fold_text(COMMON_UNIQUE, strlen(COMMON_UNIQUE), &folded) == 0);
	memcpy(s->folded, buf_ptr(&folded), buf_len(&folded));
	l->unique = s->folded;
	l->unique_len = buf_len(&folded);
	buf_clear(&folded);
}

void
common_stationery_clear(struct common_stationery *s)
{
	template_free(&s->layout.html.above);
	template_free(&s->layout.html.below);
	template_free(&s->layout.text.above);
	template_free(&s->layout.text.below);
}

enum stationery_outcome
common_stationery_render(const struct common_stationery *s, const char *msg,
                         size_t len, struct buf *out, char why[200])
{
	struct stationery_result r;

	stationery_render(
		&(struct stationery_input){
			.msg = msg,
			.len = len,
			.layout = &s->layout,
			.sender = "ann@example.com",
			.id = 0x1234567890abcdef,
			.host = "gw.example.net",
			.now_ms = 1764028800000,
		},
		&r);
	buf_init(out, buf_len(&r.front) + len - r.from + 1);
	NEED(r.from <= len);
	NEED(r.outcome == STATIONERY_APPLIED || buf_len(&r.front) == 0);
	if (buf_len(&r.front) > 0) {
		buf_add(out, buf_ptr(&r.front), buf_len(&r.front));
	}
	buf_add(out, msg + r.from, len - r.from);
	memcpy(why, r.why, sizeof(r.why));
	stationery_result_clear(&r);
	return r.outcome;
}
