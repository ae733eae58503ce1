/*
 * Compiles the layouts of a configuration, all or none.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "mime/fold.h"
#include "policy/layout_private.h"

struct layouts {
	const struct conf *conf;
	struct layout *list; /* in the order of the configuration */
	size_t n;
};

/* Nothing to see, nothing to put. */
static bool
is_blank(const struct buf *b)
{
	for (size_t i = 0; i < buf_len(b); i++) {
		if (strchr(" \t\r\n", buf_ptr(b)[i]) == NULL) {
			return false;
		}
	}
	return true;
}

static int
compile_half(const struct buf *half, enum template_kind kind,
             struct template **out, struct err *e)
{
	if (is_blank(half)) {
		return 0;
	}
	*out = template_new(buf_ptr(half), buf_len(half), kind, e);
	return *out == NULL ? -1 : 0;
}

/* A half knows no line of its file: the file as a whole may say where. */
static int
compile_halves(const struct conf_file *file, const struct layout_halves *h,
               enum template_kind kind, struct layout_form *out, struct err *e)
{
	struct template *whole = NULL;

	if (compile_half(&h->above, kind, &out->above, e) == 0 &&
	    compile_half(&h->below, kind, &out->below, e) == 0) {
		return 0;
	}
	whole = template_new(file->data, file->len, kind, e);
	template_free(&whole);
	return err_wrap(e, "%s", file->name);
}

static int
compile_html(const struct conf_layout *y, struct layout *out,
             struct layout_halves *h, struct err *e)
{
	if (layout_split_html(y->html.data, y->html.len, h, e) == -1) {
		return err_wrap(e, "%s", y->html.name);
	}
	if (compile_halves(&y->html, h, TEMPLATE_HTML, &out->html, e) == -1) {
		return -1;
	}
	if (out->html.above == NULL && out->html.below == NULL) {
		return err_set(e, ERR_INVALID, "%s: holds nothing to show",
		               y->html.name);
	}
	out->has_html = true;
	return 0;
}

static int
compile_text(const struct conf_layout *y, struct layout *out, struct err *e)
{
	struct layout_halves h;
	int rc = 0;

	layout_halves_init(&h);
	if (layout_split_text(y->text.data, y->text.len, &h, e) == -1) {
		rc = err_wrap(e, "%s", y->text.name);
	} else {
		rc = compile_halves(&y->text, &h, TEMPLATE_TEXT, &out->text, e);
	}
	layout_halves_clear(&h);
	if (rc == 0 && out->text.above == NULL && out->text.below == NULL) {
		return err_set(e, ERR_INVALID, "%s: holds nothing to show",
		               y->text.name);
	}
	out->has_text = rc == 0;
	return rc;
}

/* Of an HTML layout of nothing but images there may be no text. */
static int
derive_text(const struct conf_layout *y, const struct layout_halves *html,
            struct layout *out, struct err *e)
{
	struct layout_halves h;
	int rc = -1;

	layout_halves_init(&h);
	if (layout_html_to_text(&html->above, &h.above, e) == 0 &&
	    layout_html_to_text(&html->below, &h.below, e) == 0 &&
	    compile_half(&h.above, TEMPLATE_TEXT, &out->text.above, e) == 0) {
		rc = compile_half(&h.below, TEMPLATE_TEXT, &out->text.below, e);
	}
	layout_halves_clear(&h);
	if (rc == -1) {
		return err_wrap(e, "%s as text", y->html.name);
	}
	out->has_text = out->text.above != NULL || out->text.below != NULL;
	return 0;
}

static const char *
type_of(const struct conf_file *image)
{
	switch (image->data[0]) {
	case 'G':
		return "image/gif";
	case 'R':
		return "image/webp";
	case '\xff':
		return "image/jpeg";
	default: /* the loader knows no others */
		return "image/png";
	}
}

static void
set_images(const struct conf_layout *y, struct layout *out)
{
	out->images = mem_alloc((y->images_n + 1) * sizeof(*out->images));
	for (size_t i = 0; i < y->images_n; i++) {
		out->images[i] = (struct layout_image){
			.name = y->images[i].name,
			.type = type_of(&y->images[i]),
			.data = y->images[i].data,
			.len = y->images[i].len,
		};
	}
	out->images_n = y->images_n;
}

static void
set_unique(const struct conf_layout *y, struct layout *out)
{
	struct buf folded;

	buf_init(&folded, LAYOUT_TEXT_MAX);
	if (fold_text(y->unique_text, strlen(y->unique_text), &folded) == -1) {
		buf_reset(&folded, 0); /* of 1,000 octets: cannot be */
	}
	(void)buf_cstr(&folded);
	out->unique = buf_steal(&folded, &out->unique_len);
}

int
layout_compile(const struct conf_layout *y, struct layout *out,
               const char **left_out_r, struct err *e)
{
	struct layout_halves h;
	int rc = 0;

	*out = (struct layout){ .conf = y };
	layout_halves_init(&h);
	set_images(y, out);
	set_unique(y, out);
	if (y->html.data != NULL) {
		rc = compile_html(y, out, &h, e);
	}
	if (rc == 0 && y->text.data != NULL) {
		rc = compile_text(y, out, e);
	} else if (rc == 0 && y->text_from_html && y->html.data != NULL) {
		rc = derive_text(y, &h, out, e);
	}
	*left_out_r = h.left_out;
	layout_halves_clear(&h);
	return rc;
}

void
layout_clear(struct layout *l)
{
	template_free(&l->html.above);
	template_free(&l->html.below);
	template_free(&l->text.above);
	template_free(&l->text.below);
	free(l->images);
	free(mem_unconst(l->unique));
	*l = (struct layout){ 0 };
}

struct layouts *
layouts_new(const struct conf *c, struct err *e)
{
	struct layouts *l = mem_alloc(sizeof(*l));
	const char *left_out = NULL;

	l->conf = c;
	l->list = mem_alloc((c->layouts_n + 1) * sizeof(*l->list));
	while (l->n < c->layouts_n) {
		const struct conf_layout *y = &c->layouts[l->n];

		if (layout_compile(y, &l->list[l->n++], &left_out, e) == -1) {
			(void)err_wrap(e, "layout %s", y->name);
			layouts_free(&l);
			return NULL;
		}
	}
	return l;
}

void
layouts_free(struct layouts **l)
{
	struct layouts *old = *l;

	*l = NULL;
	if (old == NULL) {
		return;
	}
	for (size_t i = 0; i < old->n; i++) {
		layout_clear(&old->list[i]);
	}
	free(old->list);
	free(old);
}

const struct layout *
layouts_find(const struct layouts *l, const char *name)
{
	const struct conf_layout *y = conf_find_layout(l->conf, name);

	return y == NULL ? NULL : &l->list[y - l->conf->layouts];
}
