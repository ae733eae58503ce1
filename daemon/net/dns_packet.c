/*
 * From a DNS message to an answer: CNAMEs from the name asked to its canonical
 * name, the records of the type there, nothing else. Additional and authority
 * sections are not read; what does not belong to the question is ignored, and
 * a message that breaks its own format is a failure of the server, never a
 * statement about the name.
 */
#include "daemon/net/dns_packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CLASS_IN    1
#define LABEL_MAX   63
#define HEADER_SIZE 12

#define FLAG_QR    0x8000
#define FLAG_TC    0x0200
#define RCODE_MASK 0x000f

/* A resource record of the answer section that may matter. */
struct rr {
	size_t owner;
	size_t rdata;
	uint16_t rdata_len;
	uint16_t type;
	uint32_t ttl;
};

struct packet {
	const uint8_t *data;
	size_t len;
	size_t pos;
	struct rr *rrs; /* class IN, of the type asked or CNAME */
	size_t rrs_n;
};

static unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* ---- names ---------------------------------------------------------- */

int
dns_name_from_text(const char *s, struct dns_name *out_r)
{
	struct dns_name n = { .len = 0 };
	size_t len = strlen(s);
	size_t label;

	if (len > 0 && s[len - 1] == '.') {
		len--;
	}
	for (size_t at = 0; at < len; at += label + 1) {
		const char *dot = memchr(s + at, '.', len - at);

		label = dot == NULL ? len - at : (size_t)(dot - (s + at));
		/* Room for this label and the root behind it. */
		if (label == 0 || label > LABEL_MAX ||
		    n.len + 1 + label + 1 > DNS_NAME_MAX ||
		    (dot != NULL && at + label + 1 == len)) {
			return -1;
		}
		n.data[n.len++] = (uint8_t)label;
		for (size_t i = 0; i < label; i++) {
			n.data[n.len++] = lower((uint8_t)s[at + i]);
		}
	}
	n.data[n.len++] = 0;
	*out_r = n;
	return 0;
}

static bool
plain_octet(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

void
dns_name_to_text(const struct dns_name *n, char out[ADDRESS_DOMAIN_MAX + 1])
{
	size_t used = 0;
	size_t at = 0;

	while (at < n->len && n->data[at] != 0) {
		size_t end = at + 1 + n->data[at];

		if (used != 0) {
			out[used++] = '.';
		}
		for (at++; at < end; at++) {
			uint8_t c = n->data[at];
			size_t need = plain_octet(c) ? 1 : 4;

			if (used + need > ADDRESS_DOMAIN_MAX) {
				memcpy(out, "\\", 2);
				return;
			}
			if (need == 1) {
				out[used++] = (char)c;
				continue;
			}
			out[used++] = '\\';
			out[used++] = (char)('0' + c / 100);
			out[used++] = (char)('0' + c / 10 % 10);
			out[used++] = (char)('0' + c % 10);
		}
	}
	out[used] = '\0';
}

/* The name at pos, decompressed. A pointer may only lead to a place before
 * the part of the name that it ends, so every loop is refused. Returns the
 * number of octets at pos itself, 0 for a broken name. */
static size_t
read_name(const struct packet *p, size_t pos, struct dns_name *out)
{
	size_t start = pos;
	size_t limit = pos; /* of the next pointer */
	size_t used = 0;

	out->len = 0;
	while (pos < p->len) {
		uint8_t c = p->data[pos];

		if ((c & 0xc0) == 0xc0) {
			if (pos + 2 > p->len) {
				return 0;
			}
			if (used == 0) {
				used = pos + 2 - start;
			}
			pos = get16(p->data + pos) & 0x3fff;
			if (pos >= limit) {
				return 0;
			}
			limit = pos;
			continue;
		}
		if (c > LABEL_MAX || out->len + 1 + c > DNS_NAME_MAX ||
		    pos + 1 + c > p->len) {
			return 0;
		}
		out->data[out->len++] = c;
		if (c == 0) {
			return used == 0 ? pos + 1 - start : used;
		}
		for (uint8_t i = 0; i < c; i++) {
			out->data[out->len++] = lower(p->data[pos + 1 + i]);
		}
		pos += 1 + (size_t)c;
	}
	return 0;
}

static bool
same_name(const struct dns_name *a, const struct dns_name *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static bool
is_owner(const struct packet *p, const struct rr *rr, const struct dns_name *n)
{
	struct dns_name owner;

	return read_name(p, rr->owner, &owner) != 0 && same_name(&owner, n);
}

/* ---- the message ---------------------------------------------------- */

/* Header and question; they must be those of an answer to what was asked. */
static int
read_question(struct packet *p, const struct dns_name *name, enum dns_type type)
{
	struct dns_name asked;
	size_t n;

	if (p->len < HEADER_SIZE || (get16(p->data + 2) & FLAG_QR) == 0 ||
	    get16(p->data + 4) != 1) {
		return -1;
	}
	n = read_name(p, HEADER_SIZE, &asked);
	p->pos = HEADER_SIZE + n;
	if (n == 0 || p->pos + 4 > p->len || !same_name(&asked, name) ||
	    get16(p->data + p->pos) != (unsigned)type ||
	    get16(p->data + p->pos + 2) != CLASS_IN) {
		return -1;
	}
	p->pos += 4;
	return 0;
}

static int
read_rr(struct packet *p, struct rr *rr, bool *class_in_r)
{
	struct dns_name owner;
	size_t n = read_name(p, p->pos, &owner);
	const uint8_t *fixed;

	if (n == 0 || p->pos + n + 10 > p->len) {
		return -1;
	}
	fixed = p->data + p->pos + n;
	rr->owner = p->pos;
	rr->type = (uint16_t)get16(fixed);
	*class_in_r = get16(fixed + 2) == CLASS_IN;
	rr->ttl = get32(fixed + 4);
	if (rr->ttl > INT32_MAX) {
		rr->ttl = 0; /* RFC 2181 section 8 */
	}
	rr->rdata_len = (uint16_t)get16(fixed + 8);
	rr->rdata = p->pos + n + 10;
	if (rr->rdata + rr->rdata_len > p->len) {
		return -1;
	}
	p->pos = rr->rdata + rr->rdata_len;
	return 0;
}

static int
read_answers(struct packet *p, enum dns_type type)
{
	unsigned count = get16(p->data + 6);
	size_t room = 0;

	for (unsigned i = 0; i < count; i++) {
		struct rr rr;
		bool class_in;

		if (read_rr(p, &rr, &class_in) == -1) {
			return -1;
		}
		if (!class_in || (rr.type != type && rr.type != DNS_CNAME)) {
			continue;
		}
		if (p->rrs_n == room) {
			room = room == 0 ? 16 : room * 2;
			p->rrs =
				mem_reallocarray(p->rrs, room, sizeof(*p->rrs));
		}
		p->rrs[p->rrs_n++] = rr;
	}
	return 0;
}

static const struct rr *
find_cname(const struct packet *p, const struct dns_name *owner)
{
	for (size_t i = 0; i < p->rrs_n; i++) {
		if (p->rrs[i].type == DNS_CNAME &&
		    is_owner(p, &p->rrs[i], owner)) {
			return &p->rrs[i];
		}
	}
	return NULL;
}

/* Moves *name along the CNAMEs. -1: broken, or longer than DNS_CHAIN_MAX. */
static int
follow_cnames(const struct packet *p, struct dns_name *name, uint32_t *ttl)
{
	const struct rr *rr = find_cname(p, name);

	for (unsigned i = 0; rr != NULL; i++) {
		if (i == DNS_CHAIN_MAX ||
		    read_name(p, rr->rdata, name) != rr->rdata_len) {
			return -1;
		}
		if (rr->ttl < *ttl) {
			*ttl = rr->ttl;
		}
		rr = find_cname(p, name);
	}
	return 0;
}

/* ---- rdata ---------------------------------------------------------- */

/* Octets that the record needs beside itself; -1 when it is malformed. */
static int
rdata_check(const struct packet *p, const struct rr *rr)
{
	const uint8_t *data = p->data + rr->rdata;
	struct dns_name n;
	size_t at = 0;
	int text = 0;

	switch ((enum dns_type)rr->type) {
	case DNS_A:
		return rr->rdata_len == 4 ? 0 : -1;
	case DNS_AAAA:
		return rr->rdata_len == 16 ? 0 : -1;
	case DNS_CNAME:
	case DNS_PTR:
		return read_name(p, rr->rdata, &n) == rr->rdata_len ? 0 : -1;
	case DNS_MX:
		if (rr->rdata_len < 3 || read_name(p, rr->rdata + 2, &n) !=
		                                 (size_t)rr->rdata_len - 2) {
			return -1;
		}
		return 0;
	case DNS_TLSA:
		/* Of any length: one that nobody can use still says that TLS
		 * is meant (RFC 7672 section 2.2). */
		return rr->rdata_len;
	case DNS_TXT:
		while (at < rr->rdata_len) {
			text += data[at];
			at += 1 + (size_t)data[at];
		}
		return at == rr->rdata_len && at > 0 ? text : -1;
	}
	return -1;
}

static void
set_address(struct net_addr *a, const uint8_t *data, size_t len)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0,    0,
		                            0, 0, 0, 0, 0xff, 0xff };

	memset(a, 0, sizeof(*a));
	if (len == 16 && memcmp(data, mapped, sizeof(mapped)) == 0) {
		data += sizeof(mapped);
		len = 4;
	}
	a->family = len == 4 ? AF_INET : AF_INET6;
	memcpy(a->bytes, data, len);
}

/* Fills out from a checked record; returns the octets put at space. */
static size_t
rdata_take(const struct packet *p, const struct rr *rr, struct dns_record *out,
           uint8_t *space)
{
	const uint8_t *data = p->data + rr->rdata;
	struct dns_name n;
	size_t len = 0;

	switch ((enum dns_type)rr->type) {
	case DNS_A:
	case DNS_AAAA:
		set_address(&out->address, data, rr->rdata_len);
		return 0;
	case DNS_CNAME:
	case DNS_PTR:
		(void)read_name(p, rr->rdata, &n); /* was checked */
		dns_name_to_text(&n, out->name);
		return 0;
	case DNS_MX:
		out->preference = (uint16_t)get16(data);
		(void)read_name(p, rr->rdata + 2, &n); /* was checked */
		dns_name_to_text(&n, out->name);
		return 0;
	case DNS_TLSA:
		len = rr->rdata_len;
		memcpy(space, data, len);
		break;
	case DNS_TXT:
		for (size_t at = 0; at < rr->rdata_len;
		     at += 1 + (size_t)data[at]) {
			memcpy(space + len, data + at + 1, data[at]);
			len += data[at];
		}
		break;
	}
	out->data = space;
	out->data_len = len;
	return len;
}

/* The records of the type at name into out. Returns how many there are,
 * malformed ones included; those are not taken. */
static size_t
take_records(struct packet *p, const struct dns_name *name, enum dns_type type,
             struct dns_answer *out, uint32_t *ttl)
{
	size_t seen = 0;
	size_t kept = 0;
	size_t size = 0;
	uint8_t *space;

	for (size_t i = 0; i < p->rrs_n && kept < DNS_RECORDS_MAX; i++) {
		int extra;

		if (p->rrs[i].type != type || !is_owner(p, &p->rrs[i], name)) {
			continue;
		}
		seen++;
		extra = rdata_check(p, &p->rrs[i]);
		if (extra >= 0) {
			size += (size_t)extra;
			p->rrs[kept++] = p->rrs[i];
		}
	}
	if (kept == 0) {
		return seen;
	}

	/* One block: the records, behind them the octets they point to. */
	out->records = mem_alloc(kept * sizeof(*out->records) + size);
	out->records_n = kept;
	space = (uint8_t *)(out->records + kept);
	for (size_t i = 0; i < kept; i++) {
		space += rdata_take(p, &p->rrs[i], &out->records[i], space);
		if (p->rrs[i].ttl < *ttl) {
			*ttl = p->rrs[i].ttl;
		}
	}
	return seen;
}

/* ---- answers -------------------------------------------------------- */

static const char *
type_word(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_CNAME:
		return "CNAME";
	case DNS_PTR:
		return "PTR";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	case DNS_TLSA:
		return "TLSA";
	}
	return "?";
}

static const char *
status_phrase(enum dns_status status)
{
	switch (status) {
	case DNS_OK:
		return "records";
	case DNS_NODATA:
		return "no records";
	case DNS_NXDOMAIN:
		return "NXDOMAIN";
	case DNS_SERVFAIL:
		return "SERVFAIL";
	case DNS_TIMEOUT:
		return "no answer in time";
	case DNS_BOGUS:
		return "DNSSEC validation failed";
	}
	return "?";
}

void
dns_answer_describe(struct dns_answer *a, const char *name, enum dns_type type,
                    const char *why)
{
	/* The name gives way, so that type and reason are always there. */
	(void)snprintf(a->text, sizeof(a->text), "%s for %.*s (%s)%s%.40s",
	               status_phrase(a->status), why == NULL ? 100 : 60,
	               name[0] == '\0' ? "." : name, type_word(type),
	               why == NULL ? "" : ": ", why == NULL ? "" : why);
}

void
dns_answer_fail(struct dns_answer *a, enum dns_status status, const char *name,
                enum dns_type type, const char *why)
{
	memset(a, 0, sizeof(*a));
	a->status = status;
	(void)snprintf(a->canonical, sizeof(a->canonical), "%s", name);
	dns_answer_describe(a, name, type, why);
}

/* Behind the question; out is zeroed. Returns a reason, NULL when good. */
static const char *
parse_answer(struct packet *p, struct dns_name *name, enum dns_type type,
             struct dns_answer *out)
{
	unsigned flags = get16(p->data + 2);
	unsigned rcode = flags & RCODE_MASK;
	uint32_t ttl = UINT32_MAX;
	size_t seen;

	if (rcode != 0 && rcode != 3) {
		return "refused or failed";
	}
	if ((flags & FLAG_TC) != 0) {
		return "truncated answer";
	}
	if (read_answers(p, type) == -1) {
		return "malformed answer";
	}
	if (type != DNS_CNAME && follow_cnames(p, name, &ttl) == -1) {
		return "bad or endless CNAMEs";
	}
	dns_name_to_text(name, out->canonical);
	if (rcode == 3) {
		out->status = DNS_NXDOMAIN;
		return NULL;
	}
	seen = take_records(p, name, type, out, &ttl);
	out->ttl = ttl == UINT32_MAX ? 0 : ttl;
	if (out->records_n == 0) {
		out->status = DNS_NODATA;
		return seen == 0 ? NULL : "malformed records";
	}
	out->status = DNS_OK;
	return NULL;
}

void
dns_answer_parse(const uint8_t *packet, size_t len, const char *name,
                 enum dns_type type, struct dns_answer *out)
{
	struct packet p = { .data = packet, .len = len };
	struct dns_name wire;
	const char *bad;

	memset(out, 0, sizeof(*out));
	if (dns_name_from_text(name, &wire) == -1) {
		dns_answer_fail(out, DNS_NXDOMAIN, name, type,
		                "no such name can exist");
		return;
	}
	bad = read_question(&p, &wire, type) == -1
	              ? "not an answer to the question"
	              : parse_answer(&p, &wire, type, out);
	free(p.rrs);
	if (bad != NULL) {
		dns_answer_clear(out);
		dns_answer_fail(out, DNS_SERVFAIL, name, type, bad);
		return;
	}
	dns_answer_describe(out, name, type, NULL);
}

void
dns_answer_clear(struct dns_answer *a)
{
	free(a->records);
	memset(a, 0, sizeof(*a));
}
