#ifndef SORTIE_SPF_GUARD_H
#define SORTIE_SPF_GUARD_H

#include "spf/checker.h"

/*
 * libspf2 walks the records and matches addresses. Everything that a stranger
 * wrote stays on this side: the guard checks each record's grammar, expands
 * macros, matches ip4 and ip6, asks DNS, keeps all limits, and hands the
 * library a record of a few short terms whose names it makes up itself:
 *
 *   published  v=spf1 ip4:192.0.2.0/24 a:%{d} mx/24 include:x.example -all
 *   handed on  v=spf1 +a:0.t +mx:1.t/24 +include:2.t -exists:3.t
 *
 * What the library asks for such a name the guard answers. Why so: the library
 * as packaged overruns its stack for macros (CVE-2023-42118), and of the 203
 * cases of the public suite it gets 59 wrong: prefix length 0 refused, bad
 * domains and macros taken, limits counted per include, and terms forgotten
 * without a word once a record's have filled 511 octets. It lets clients of
 * the loopback network pass, cuts a letter off "%{d4}" of a name with less
 * labels, and ends the process when it is surprised.
 */

struct spf_guard_query {
	struct net_addr client;
	const char *sender; /* local@domain, domain as below */
	const char *local;
	size_t local_len;
	const char *domain; /* normalised; its record is the first */
	const char *helo;
};

/* As spf_check, for a domain that can have a record. out->domain is set
 * already. */
enum spf_state spf_guard_run(const struct spf_guard_query *q,
                             const struct dns_source *dns,
                             struct spf_report *out);

#endif
