/*
 * Small pieces are cut from blocks and go with the message; of the blocks one
 * stays for the next message, so that most messages take no memory from the
 * system at all. Large pieces (the buffers that double while they grow) are
 * given back at once, so that the peak is what is in use.
 */
#include "dkim/memory.h"

#include <openssl/crypto.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

#define ALIGNMENT  alignof(max_align_t)
#define BLOCK_SIZE ((size_t)48 * 1024)
#define LARGE_SIZE ((size_t)12 * 1024)

/* AddressSanitizer sees the end of a block, not that of a piece in it. */
#if defined(__SANITIZE_ADDRESS__)
#define PIECES_APART true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PIECES_APART true
#endif
#endif
#ifndef PIECES_APART
#define PIECES_APART false
#endif

struct memory_block {
	struct memory_block *next;
	struct memory_block **link; /* what points here: large ones only */
	size_t size;
	alignas(max_align_t) char data[];
};

/* Stands before each piece: memory_give gets no more than the piece. */
union piece {
	struct memory_block *large; /* NULL: a small one */
	max_align_t align;
};

void
memory_init(struct memory *m)
{
	*m = (struct memory){ 0 };
}

static struct memory_block *
new_block(size_t size)
{
	struct memory_block *b = mem_realloc(NULL, sizeof(*b) + size);

	b->next = NULL;
	b->link = NULL;
	b->size = size;
	return b;
}

static bool
room_for(struct memory *m, size_t size)
{
	if (size > MEMORY_MAX || m->total + size > MEMORY_MAX) {
		m->exceeded = true;
		return false;
	}
	m->total += size;
	return true;
}

static void *
take_large(struct memory *m, size_t size)
{
	struct memory_block *b = NULL;
	union piece *p = NULL;

	if (!room_for(m, sizeof(*p) + size)) {
		return NULL;
	}
	b = new_block(sizeof(*p) + size);
	b->next = m->large;
	b->link = &m->large;
	if (b->next != NULL) {
		b->next->link = &b->next;
	}
	m->large = b;
	p = (union piece *)(void *)b->data;
	p->large = b;
	return p + 1;
}

void *
memory_take(void *closure, size_t size)
{
	struct memory *m = closure;
	union piece *p = NULL;
	size_t need = sizeof(*p) + size;

	if (PIECES_APART || size >= LARGE_SIZE) {
		return take_large(m, size);
	}
	need = (need + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (need > m->left) {
		struct memory_block *b = NULL;

		if (m->first != NULL && !room_for(m, BLOCK_SIZE)) {
			return NULL;
		}
		b = new_block(BLOCK_SIZE);
		if (m->first == NULL) {
			m->first = b;
		} else {
			b->next = m->small;
			m->small = b;
		}
		m->next = b->data;
		m->left = b->size;
	}
	p = (union piece *)(void *)m->next;
	p->large = NULL;
	m->next += need;
	m->left -= need;
	return p + 1;
}

void
memory_give(void *closure, void *p)
{
	struct memory *m = closure;
	struct memory_block *b = NULL;

	if (p == NULL) {
		return;
	}
	b = ((union piece *)p - 1)->large;
	if (b == NULL) {
		return;
	}
	*b->link = b->next;
	if (b->next != NULL) {
		b->next->link = b->link;
	}
	m->total -= b->size;
	free(b);
}

static void
free_blocks(struct memory_block *b, bool wipe)
{
	while (b != NULL) {
		struct memory_block *next = b->next;

		if (wipe) {
			OPENSSL_cleanse(b->data, b->size);
		}
		free(b);
		b = next;
	}
}

void
memory_reset(struct memory *m, bool wipe)
{
	struct memory_block *first = m->first;

	free_blocks(m->large, wipe);
	free_blocks(m->small, wipe);
	memory_init(m);
	m->first = first;
	if (first != NULL) {
		if (wipe) {
			OPENSSL_cleanse(first->data, first->size);
		}
		m->next = first->data;
		m->left = first->size;
	}
}

void
memory_clear(struct memory *m)
{
	free_blocks(m->first, false);
	free_blocks(m->small, false);
	free_blocks(m->large, false);
	memory_init(m);
}
