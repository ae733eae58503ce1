/*
 * PROXY protocol headers: whatever comes, the answer for a prefix is MORE or
 * already the answer for the whole.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/receive/proxy.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole = { 0 };
	enum proxy_result result;
	char *copy = malloc(size > 0 ? size : 1);

	CHECK(copy != NULL);
	memcpy(copy, data, size);
	result = proxy_parse(copy, size, &whole);
	if (result == PROXY_DONE) {
		CHECK(whole.len > 0 && whole.len <= size);
		CHECK(whole.len <= PROXY_MAX);
		CHECK(!whole.known || whole.source.addr.family == AF_INET ||
		      whole.source.addr.family == AF_INET6);
	}
	if (result == PROXY_MORE) {
		CHECK(size < PROXY_MAX);
	}
	for (size_t n = 0; n < size && n < 512; n++) {
		struct proxy_header part = { 0 };
		char *cut = malloc(n > 0 ? n : 1);
		enum proxy_result r;

		CHECK(cut != NULL);
		memcpy(cut, copy, n);
		r = proxy_parse(cut, n, &part);
		free(cut);
		if (r == PROXY_MORE) {
			continue;
		}
		CHECK(r == result);
		CHECK(r != PROXY_DONE || part.len == whole.len);
		break;
	}
	free(copy);
	return 0;
}
