#ifndef SORTIE_POLICY_TLSA_H
#define SORTIE_POLICY_TLSA_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tlsa {
	uint8_t usage;
	uint8_t selector;
	uint8_t matching;
	size_t len;
	uint8_t data[64];
};

struct tlsa_set {
	size_t n;
	struct tlsa records[8];
};

static inline bool
tlsa_set_equal(const struct tlsa_set *a, const struct tlsa_set *b)
{
	return a->n == b->n;
}
#endif
