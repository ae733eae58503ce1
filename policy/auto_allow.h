#ifndef SORTIE_POLICY_AUTO_ALLOW_H
#define SORTIE_POLICY_AUTO_ALLOW_H
#include "policy/decision.h"

static inline enum decision_mail
auto_allow_mail(const char *h, size_t n, const char *s)
{
	(void)h;
	(void)n;
	return *s ? DECISION_MAIL_PERSON : DECISION_MAIL_AUTOMATIC;
}
#endif
