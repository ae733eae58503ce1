/*
 * MTA-STS texts: a record that is taken has an id as it should be; a policy
 * that is taken is what its formatted text parses to, and lists its own hosts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mta_sts.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_record(const uint8_t *data, size_t size)
{
	char id[MTA_STS_ID_MAX + 1] = "";
	struct err e = { 0 };

	switch (mta_sts_record_parse(data, size, id, &e)) {
	case MTA_STS_RECORD_OTHER:
		CHECK(size < 8 || memcmp(data, "v=STSv1;", 8) != 0);
		break;
	case MTA_STS_RECORD_BAD:
		CHECK(e.text[0] != '\0' && id[0] == '\0');
		break;
	case MTA_STS_RECORD_GOOD:
		CHECK(strlen(id) >= 1 && strlen(id) <= MTA_STS_ID_MAX);
		CHECK(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"
		                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(id));
		break;
	}
}

static void
check_policy(const char *data, size_t size)
{
	struct err e = { 0 };
	struct mta_sts_policy *p = mta_sts_policy_parse(data, size, &e);
	struct mta_sts_policy *again;
	char *text;

	if (p == NULL) {
		CHECK(e.text[0] != '\0');
		return;
	}
	CHECK(p->max_age_s <= MTA_STS_MAX_AGE_MAX);
	CHECK(p->mx_n > 0 || p->mode == MTA_STS_NONE);
	text = mta_sts_policy_format(p);
	again = mta_sts_policy_parse(text, strlen(text), &e);
	CHECK(again != NULL && mta_sts_policy_equal(p, again));
	for (size_t i = 0; i < p->mx_n && i < 100; i++) {
		CHECK(strchr(p->mx[i] + 1, '*') == NULL);
		CHECK(mta_sts_lists(p, p->mx[i]));
	}
	free(text);
	mta_sts_policy_unref(&again);
	mta_sts_policy_unref(&p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_record(data, size);
	check_policy((const char *)data, size);
	return 0;
}
