/*
 * Text for parts whose lines flow (format=flowed, RFC 3676). It makes fixed
 * lines only, so that nobody's reader joins what the layout keeps apart.
 */
#include <string.h>

#include "mime/text_private.h"

bool
text_part_is_flowed(const char *msg, const struct structure_part *part,
                    bool *delsp_r)
{
	struct text_type t;

	*delsp_r = false;
	if (strcmp(part->type, "text") != 0 ||
	    strcmp(part->subtype, "plain") != 0 ||
	    (part->flags & STRUCTURE_TYPED) == 0 ||
	    !text_type_read(msg, part, &t) ||
	    !text_type_has(msg, &t, "format", "flowed")) {
		return false;
	}
	*delsp_r = text_type_has(msg, &t, "delsp", "yes");
	return true;
}

/* One line without its line end. */
static int
put_line(const char *line, size_t len, struct buf *out)
{
	static const char separator[] = "-- ";

	/* Only the separator of a signature ends with a blank and is fixed
	 * (RFC 3676 section 4.3). */
	if (len != 3 || memcmp(line, separator, 3) != 0) {
		while (len > 0 && line[len - 1] == ' ') {
			len--;
		}
	}
	/* Section 4.4. */
	if (len > 0 &&
	    (line[0] == ' ' || line[0] == '>' ||
	     (len >= 5 && memcmp(line, "From ", 5) == 0)) &&
	    buf_append(out, " ", 1) == -1) {
		return -1;
	}
	return buf_append(out, line, len);
}

int
text_part_flow(const char *text, size_t len, struct buf *out)
{
	size_t pos = 0;

	while (pos < len) {
		const char *lf = memchr(text + pos, '\n', len - pos);
		size_t end = lf == NULL ? len : (size_t)(lf - text);
		size_t next = lf == NULL ? len : end + 1;

		if (lf != NULL && end > pos && text[end - 1] == '\r') {
			end--;
		}
		if (put_line(text + pos, end - pos, out) == -1 ||
		    buf_append(out, text + end, next - end) == -1) {
			return -1;
		}
		pos = next;
	}
	return 0;
}
