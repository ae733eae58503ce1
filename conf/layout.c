#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/arena.h"
#include "conf/load_private.h"

/*
 * Stationery layouts and the directory: the files are read, once, so that what
 * was checked is what is used. What the texts mean is not looked at here.
 */

#define TEXT_MAX       ((size_t)1024 * 1024)
#define IMAGE_MAX      ((size_t)5 * 1024 * 1024)
#define IMAGES_MAX     20
#define IMAGE_NAME_MAX 100

/* The file that a setting stands in, which may be included. */
static const char *
source_of(struct loader *l, const config_setting_t *s)
{
	if (s == NULL || s->file == NULL) {
		return arena_strdup(l->c->arena, l->file);
	}
	return arena_strdup(l->c->arena, s->file);
}

void
load_directory(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *group = load_member(root, "directory");
	const config_setting_t *file = load_member(group, "file");

	load_fields(l, group, root, "directory", l->c);
	l->c->directory.source = source_of(l, file);
	l->c->directory.line = file == NULL ? 0 : file->line;
	if (l->c->directory.file != NULL &&
	    access(l->c->directory.file, R_OK) == -1) {
		load_error(l, file, "%s: %s", l->c->directory.file,
		           strerror(errno));
	}
}

/* The whole file into the arena; its name is the last part of path. */
static int
read_file(struct loader *l, const config_setting_t *s, const char *path,
          size_t max, struct conf_file *out)
{
	const char *slash = strrchr(path, '/');
	struct err e = { 0 };
	char *data = NULL;
	char *copy = NULL;
	size_t len = 0;

	if (conf_read_file(path, max, &data, &len, &e) == -1) {
		load_error(l, s, "%s", e.text);
		return -1;
	}
	out->name = arena_strdup(l->c->arena, slash == NULL ? path : slash + 1);
	copy = arena_alloc(l->c->arena, len + 1); /* has NULs in images */
	memcpy(copy, data, len);
	out->data = copy;
	out->len = len;
	free(data);
	return 0;
}

static void
read_text(struct loader *l, const config_setting_t *s, const char *path,
          struct conf_file *out)
{
	struct conf_file file = { 0 };

	if (path == NULL || read_file(l, s, path, TEXT_MAX, &file) == -1) {
		return;
	}
	if (memchr(file.data, '\0', file.len) != NULL) {
		load_error(l, s, "%s is not a text file", path);
		return;
	}
	*out = file;
}

/* ---- images ----------------------------------------------------------- */

static bool
is_image(const struct conf_file *file)
{
	static const struct {
		const char *octets;
		size_t len;
	} magic[] = {
		{ "\x89PNG\r\n\x1a\n", 8 },
		{ "\xff\xd8\xff", 3 }, /* JPEG */
		{ "GIF87a", 6 },
		{ "GIF89a", 6 },
	};

	for (size_t i = 0; i < sizeof(magic) / sizeof(magic[0]); i++) {
		if (file->len >= magic[i].len &&
		    memcmp(file->data, magic[i].octets, magic[i].len) == 0) {
			return true;
		}
	}
	return file->len >= 12 && memcmp(file->data, "RIFF", 4) == 0 &&
	       memcmp(file->data + 8, "WEBP", 4) == 0;
}

static bool
is_name_char(char c)
{
	return isalnum((unsigned char)c) != 0 || c == '.' || c == '_' ||
	       c == '-';
}

static bool
has_image(const struct conf_layout *y, const char *name, size_t len)
{
	for (size_t i = 0; i < y->images_n; i++) {
		if (strlen(y->images[i].name) == len &&
		    memcmp(y->images[i].name, name, len) == 0) {
			return true;
		}
	}
	return false;
}

/* A file beside the HTML file. false: there is no room for more. */
static bool
add_image(struct loader *l, const config_setting_t *s, struct conf_layout *y,
          const char *name, size_t len)
{
	const char *slash = strrchr(y->html_file, '/');
	const char *path = arena_printf(l->c->arena, "%.*s/%.*s",
	                                (int)(slash - y->html_file),
	                                y->html_file, (int)len, name);
	struct conf_file *image = &y->images[y->images_n];

	if (len > IMAGE_NAME_MAX) {
		load_error(l, s, "%s: the name of an image is too long",
		           y->html_file);
		return false;
	}
	if (y->images_n == IMAGES_MAX) {
		load_error(l, s, "%s names more than %d images", y->html_file,
		           IMAGES_MAX);
		return false;
	}
	/* A name that failed is remembered, and said once. */
	image->name = arena_strndup(l->c->arena, name, len);
	y->images_n++;
	if (access(path, F_OK) == -1) {
		load_error(l, s,
		           "%s names the image cid:%s, and %s: %s; put the "
		           "image there",
		           y->html_file, image->name, path, strerror(errno));
	} else if (read_file(l, s, path, IMAGE_MAX, image) == 0 &&
	           !is_image(image)) {
		load_error(l, s,
		           "%s is no PNG, JPEG, GIF or WebP image, which are "
		           "what mail readers show",
		           path);
	}
	return true;
}

/* What the HTML names as "cid:NAME", wherever that stands. */
static void
read_images(struct loader *l, const config_setting_t *s, struct conf_layout *y)
{
	const char *end = y->html.data + y->html.len;
	const char *p = y->html.data;

	y->images = arena_alloc(l->c->arena, IMAGES_MAX * sizeof(*y->images));
	while ((p = memchr(p, ':', (size_t)(end - p))) != NULL) {
		const char *name = ++p;
		bool cid =
			name - y->html.data >= 4 &&
			strncasecmp(name - 4, "cid", 3) == 0 &&
			(name - y->html.data == 4 || !is_name_char(name[-5]));

		while (p < end && is_name_char(*p)) {
			p++;
		}
		if (cid && p > name &&
		    !has_image(y, name, (size_t)(p - name)) &&
		    !add_image(l, s, y, name, (size_t)(p - name))) {
			return;
		}
	}
}

/* ---- layouts ---------------------------------------------------------- */

void
load_layout(struct loader *l, const config_setting_t *item)
{
	const config_setting_t *html = load_member(item, "html_file");
	const config_setting_t *text = load_member(item, "text_file");
	struct conf *c = l->c;
	struct conf_layout *y = &c->layouts[c->layouts_n];

	load_fields(l, item, item, "definitions.stationery_layouts[]", y);
	y->source = source_of(l, item);
	y->line = item->line;
	read_text(l, html, y->html_file, &y->html);
	read_text(l, text, y->text_file, &y->text);
	if (y->html.data != NULL) {
		read_images(l, html, y);
	}
	if (y->name == NULL) {
		return;
	}
	if (html == NULL && text == NULL) {
		load_error(
			l, item,
			"definitions.stationery_layouts: %s needs html_file, "
			"text_file or both",
			load_quote(l, y->name));
	}
	if (y->text_from_html && (html == NULL || text != NULL)) {
		load_warn(l, load_member(item, "text_from_html"),
		          "text_from_html has no effect: %s",
		          html == NULL ? "there is no html_file"
		                       : "text_file is the text");
	}
	if (index_map_add(c->arena, &c->index->layouts, y->name, y) != NULL) {
		load_error(l, item,
		           "definitions.stationery_layouts: %s: duplicate name",
		           load_quote(l, y->name));
	}
	c->layouts_n++;
}
