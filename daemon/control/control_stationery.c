#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/control/control_explain.h"
#include "daemon/control/control_private.h"
#include "daemon/deliver/payload_layout.h"
#include "policy/layout.h"
#include "policy/status.h"

/*
 * What "sortie explain" says of stationery: the layout, why there is none, and
 * what a whole message would get, by the renderer that deliveries use.
 */

static const char *
why_not(const struct explain_work *w, bool refused, bool inbound)
{
	const struct conf_policy *const *winners = w->decision.answer.winners;

	if (refused) {
		return "it is refused";
	}
	if (winners[CONF_POLICY_STATIONERY] == NULL) {
		return "no policy gives it stationery";
	}
	if (inbound) {
		return "mail from outside is left as it is";
	}
	if (winners[CONF_POLICY_STATIONERY_EXCLUSION] != NULL) {
		return "a policy of stationery_exclusion wins";
	}
	if (w->decision.stationery == NULL) {
		return "no person wrote it, and the policy has "
		       "automatic_mail = false";
	}
	return NULL;
}

/* As the receiver would have found it. */
static unsigned
look_at(const char *data, size_t len, size_t header)
{
	unsigned flags = ENVELOPE_DOTS;
	size_t line = 0;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)data[i] >= 0x80) {
			flags |= i < header ? ENVELOPE_8BIT_HEADER
			                    : ENVELOPE_8BIT_BODY;
		}
		line = data[i] == '\n' ? 0 : line + 1;
		if (line > 999) { /* the CR counted */
			flags |= ENVELOPE_LONG_LINES;
		}
	}
	return flags;
}

static json_t *
try_out(const struct explain_work *w, const char *name)
{
	struct stationery_result r;
	struct smtp_status why;
	const struct layout *l = payload_layout_find(w->snapshot, name, &why);
	json_t *o;

	if (l == NULL) {
		return json_null(); /* the decision is of this snapshot */
	}
	w->env->flags |= look_at(w->header, w->whole_len, w->header_len);
	if (payload_layout_render(w->env, l, w->snapshot, w->header,
	                          w->whole_len, &r, &why) == -1) {
		return json_pack("{s:s, s:o}", "outcome", "held", "why",
		                 control_json_text(why.text));
	}
	o = json_pack("{s:s, s:o}", "outcome",
	              stationery_outcome_word(r.outcome), "why",
	              control_json_text(r.why[0] != '\0' ? r.why : NULL));
	stationery_result_clear(&r);
	return o;
}

json_t *
control_stationery(const struct explain_work *w, bool refused, bool inbound)
{
	const char *why = why_not(w, refused, inbound);
	const char *layout = w->env->recipients[0].layout;
	bool known = why == NULL && layout != NULL;

	return json_pack("{s:o, s:o, s:o}", "layout",
	                 control_json_text(known ? layout : NULL), "none_why",
	                 control_json_text(why), "message",
	                 known && w->whole_len > 0 ? try_out(w, layout)
	                                           : json_null());
}
