/*
 * The form of a message for one hop. Converts nothing itself and knows no
 * policy but the RFCs named in the header.
 */
#include "daemon/deliver/render.h"

#include <stddef.h>

#include "store/envelope.h"

#define EIGHT_BIT (ENVELOPE_8BIT_BODY | ENVELOPE_8BIT_HEADER)

enum text_class { /* the worst octet of a text */
	TEXT_ASCII = 0,
	TEXT_UTF8,
	TEXT_CONTROL,
};

static enum text_class
classify(const char *s)
{
	enum text_class worst = TEXT_ASCII;

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if (c < ' ' || c == 0x7f) {
			return TEXT_CONTROL;
		}
		if (c >= 0x80) {
			worst = TEXT_UTF8;
		}
	}
	return worst;
}

enum render_form
render_form(const struct envelope *env, const struct ehlo *hop)
{
	if ((env->flags & ENVELOPE_LONG_LINES) != 0) {
		return RENDER_CONVERTED;
	}
	if ((env->flags & EIGHT_BIT) != 0 &&
	    (hop->flags & EHLO_8BITMIME) == 0) {
		return RENDER_CONVERTED;
	}
	return RENDER_AS_IS;
}

bool
render_needs_smtputf8(const struct envelope *env)
{
	if (classify(env->sender) != TEXT_ASCII) {
		return true;
	}
	unsigned both = ENVELOPE_SMTPUTF8 | ENVELOPE_8BIT_HEADER;
	return (env->flags & both) == both;
}

bool
render_is_8bit(const struct envelope *env, enum render_form form)
{
	return form == RENDER_AS_IS &&
	       (env->flags & (EIGHT_BIT | ENVELOPE_8BITMIME)) != 0;
}

static bool
refuse(struct smtp_status *status, unsigned code, const char *enhanced,
       const char *why)
{
	smtp_status_set(status, STATUS_POLICY, STAGE_MAIL, code, enhanced, "%s",
	                why);
	status->nothing_sent = true;
	return false;
}

bool
render_message(const struct envelope *env, const struct ehlo *hop, uint64_t len,
               struct smtp_status *status)
{
	if (classify(env->sender) == TEXT_CONTROL) {
		return refuse(status, 553, "5.1.7",
		              "the sender address holds control characters");
	}
	if ((hop->flags & EHLO_SMTPUTF8) == 0 && render_needs_smtputf8(env)) {
		return refuse(
			status, 550, "5.6.7",
			"the message needs SMTPUTF8, which the next hop does "
			"not offer");
	}
	if (hop->size_max > 0 && len > hop->size_max) {
		return refuse(status, 552, "5.3.4",
		              "the message is larger than the next hop takes");
	}
	return true;
}

bool
render_recipient(const struct recipient *r, const struct ehlo *hop,
                 struct smtp_status *status)
{
	switch (classify(r->address)) {
	case TEXT_ASCII:
		return true;
	case TEXT_UTF8:
		if ((hop->flags & EHLO_SMTPUTF8) != 0) {
			return true;
		}
		return refuse(
			status, 553, "5.6.7",
			"the address needs SMTPUTF8, which the next hop does "
			"not offer");
	case TEXT_CONTROL:
		return refuse(status, 553, "5.1.3",
		              "the address holds control characters");
	}
	return true;
}
