/*
 * The scanner that looks at every octet of every message on its way in. It
 * works on 64 octets at a time as bit masks, so that only line ends cost
 * more than a few instructions. It judges nothing.
 */
#include "mime/downgrade.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK 64

/* One bit an octet, the first octet lowest. */
struct masks {
	uint64_t high;
	uint64_t nul;
	uint64_t cr;
	uint64_t lf;
};

#ifdef __SSE2__
static uint64_t
equal_mask(const __m128i v[4], char c)
{
	__m128i want = _mm_set1_epi8(c);
	uint64_t mask = 0;

	for (int i = 0; i < 4; i++) {
		unsigned bits =
			(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], want));

		mask |= (uint64_t)bits << (16 * i);
	}
	return mask;
}

static void
make_masks(const char *p, struct masks *m)
{
	__m128i v[4];

	m->high = 0;
	for (int i = 0; i < 4; i++) {
		unsigned bits;

		memcpy(&v[i], p + 16 * i, 16);
		bits = (unsigned)_mm_movemask_epi8(v[i]);
		m->high |= (uint64_t)bits << (16 * i);
	}
	m->nul = equal_mask(v, '\0');
	m->cr = equal_mask(v, '\r');
	m->lf = equal_mask(v, '\n');
}
#else
/* The top bit of each octet of w, gathered into the low 8 bits. */
static uint64_t
gather(uint64_t w)
{
	return ((w >> 7 & 0x0101010101010101U) * 0x0102040810204080U) >> 56;
}

/* The top bit of each octet of w that equals c. */
static uint64_t
equal_bits(uint64_t w, unsigned char c)
{
	uint64_t x = w ^ (0x0101010101010101U * c);
	const uint64_t low = 0x7f7f7f7f7f7f7f7fU;

	return ~(((x & low) + low) | x | low);
}

static void
make_masks(const char *p, struct masks *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < 8; i++) {
		uint64_t w = 0;
		int shift = 8 * i;

		/* First octet lowest, whatever the machine's order. */
		for (int k = 0; k < 8; k++) {
			w |= (uint64_t)(unsigned char)p[8 * i + k] << (8 * k);
		}
		m->high |= gather(w) << shift;
		m->nul |= gather(equal_bits(w, '\0')) << shift;
		m->cr |= gather(equal_bits(w, '\r')) << shift;
		m->lf |= gather(equal_bits(w, '\n')) << shift;
	}
}
#endif

/* The bits below n. */
static uint64_t
below(unsigned n)
{
	return n >= BLOCK ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* Lines that end in the block; high bits up to the header's end are taken
 * out of *high and noted. */
static void
scan_lines(struct downgrade_scan *s, uint64_t lf, uint64_t behind_cr,
           uint64_t *high, unsigned n)
{
	unsigned start = 0;

	while (lf != 0) {
		unsigned at = (unsigned)__builtin_ctzll(lf);
		size_t line = s->line + (at - start) - (behind_cr >> at & 1);

		lf &= lf - 1;
		s->line = 0;
		start = at + 1;
		if (line > s->longest) {
			s->longest = line;
		}
		if (line == 0 && !s->in_body) {
			s->in_body = true;
			if ((*high & below(at)) != 0) {
				s->has_8bit_header = true;
			}
			*high &= ~below(at);
		}
	}
	s->line += n - start;
}

/* The first n octets of a block. */
static inline void
scan_block(struct downgrade_scan *s, const char *p, unsigned n)
{
	uint64_t valid = below(n);
	uint64_t behind_cr;
	struct masks m;

	make_masks(p, &m);
	m.high &= valid;
	m.cr &= valid;
	m.lf &= valid;
	behind_cr = m.cr << 1 | (s->cr ? 1U : 0U);

	if ((m.nul & valid) != 0) {
		s->has_nul = true;
	}
	if (((behind_cr ^ m.lf) & valid) != 0) {
		s->has_bare = true;
	}
	scan_lines(s, m.lf, behind_cr, &m.high, n);
	if (m.high != 0) {
		if (s->in_body) {
			s->has_8bit_body = true;
		} else {
			s->has_8bit_header = true;
		}
	}
	s->cr = (m.cr >> (n - 1) & 1) != 0;
	/* Lines that are still under way count too, for early refusal. */
	if (s->line > s->longest + 1) {
		s->longest = s->line - 1;
	}
}

void
downgrade_scan_init(struct downgrade_scan *s)
{
	memset(s, 0, sizeof(*s));
}

void
downgrade_scan_update(struct downgrade_scan *s, const char *data, size_t len)
{
	char rest[BLOCK] = { 0 };
	size_t i = 0;

	for (; len - i >= BLOCK; i += BLOCK) {
		scan_block(s, data + i, BLOCK);
	}
	if (i < len) {
		memcpy(rest, data + i, len - i);
		scan_block(s, rest, (unsigned)(len - i));
	}
}

void
downgrade_scan_finish(struct downgrade_scan *s)
{
	size_t line = s->line - (s->cr ? 1U : 0U);

	if (line > s->longest) {
		s->longest = line;
	}
	if (s->cr) {
		s->has_bare = true;
		s->cr = false;
	}
	s->line = 0;
}
