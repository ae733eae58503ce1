#include "tests/unit/common_dns.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* See the header. Asserts where the test itself would be wrong. */

void
dns_message_put(struct dns_message *m, const void *data, size_t len)
{
	assert(m->len + len <= sizeof(m->data));
	memcpy(m->data + m->len, data, len);
	m->len += len;
}

void
dns_message_put16(struct dns_message *m, unsigned value)
{
	uint8_t octets[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	dns_message_put(m, octets, sizeof(octets));
}

void
dns_message_name(struct dns_message *m, const char *name)
{
	uint8_t label;

	while (*name != '\0') {
		label = (uint8_t)strcspn(name, ".");
		dns_message_put(m, &label, 1);
		dns_message_put(m, name, label);
		name += label;
		name += *name == '.';
	}
	label = 0;
	dns_message_put(m, &label, 1);
}

void
dns_message_init(struct dns_message *m, unsigned flags, const char *name,
                 unsigned type)
{
	m->len = 0;
	dns_message_put16(m, 0x1234);
	dns_message_put16(m, 0x8180 | flags);
	dns_message_put16(m, 1);
	dns_message_put(m, (const uint8_t[6]){ 0 }, 6);
	dns_message_name(m, name);
	dns_message_put16(m, type);
	dns_message_put16(m, 1);
}

void
dns_message_rr(struct dns_message *m, enum dns_section section,
               const char *owner, unsigned type, uint32_t ttl,
               const void *rdata, size_t len)
{
	unsigned count = (unsigned)m->data[section] << 8 | m->data[section + 1];

	count++;
	m->data[section] = (uint8_t)(count >> 8);
	m->data[section + 1] = (uint8_t)count;
	dns_message_name(m, owner);
	dns_message_put16(m, type);
	dns_message_put16(m, 1);
	dns_message_put16(m, ttl >> 16);
	dns_message_put16(m, ttl & 0xffff);
	dns_message_put16(m, (unsigned)len);
	dns_message_put(m, rdata, len);
}

void
dns_message_cname(struct dns_message *m, const char *owner, uint32_t ttl,
                  const char *target)
{
	struct dns_message rdata = { .len = 0 };

	dns_message_name(&rdata, target);
	dns_message_rr(m, SECTION_ANSWER, owner, 5, ttl, rdata.data, rdata.len);
}

void
dns_message_mx(struct dns_message *m, const char *owner, uint32_t ttl,
               unsigned preference, const char *target)
{
	struct dns_message rdata = { .len = 0 };

	dns_message_put16(&rdata, preference);
	dns_message_name(&rdata, target);
	dns_message_rr(m, SECTION_ANSWER, owner, 15, ttl, rdata.data,
	               rdata.len);
}

void
dns_message_a(struct dns_message *m, const char *owner, uint32_t ttl,
              const char *address)
{
	struct in_addr a;

	assert(inet_pton(AF_INET, address, &a) == 1);
	dns_message_rr(m, SECTION_ANSWER, owner, 1, ttl, &a, sizeof(a));
}

/* ---- the server ----------------------------------------------------- */

struct dns_server {
	pthread_t thread;
	int udp;
	int tcp;
	int stop[2];
	dns_server_cb on_question;
	void *arg;
	_Atomic unsigned questions;
};

static int
listen_on(int type, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		                   .sin_port = htons(port) };
	int fd = socket(AF_INET, type, 0);
	int on = 1;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    (type == SOCK_STREAM && listen(fd, 16) == -1)) {
		abort(); /* the port belongs to this test */
	}
	return fd;
}

/* The question's answer in m; its length 0 when there is none. */
static void
answer(struct dns_server *s, const uint8_t *query, size_t len, bool tcp,
       struct dns_message *m)
{
	char name[256] = "";
	size_t at = 12;
	size_t used = 0;

	m->len = 0;
	while (at < len && query[at] != 0 && at + 1 + query[at] < len &&
	       used + query[at] + 2 < sizeof(name)) {
		if (used != 0) {
			name[used++] = '.';
		}
		memcpy(name + used, query + at + 1, query[at]);
		used += query[at];
		at += 1 + (size_t)query[at];
	}
	name[used] = '\0';
	if (at + 5 > len) {
		return;
	}
	atomic_fetch_add(&s->questions, 1);
	s->on_question(s->arg, name,
	               (unsigned)query[at + 1] << 8 | query[at + 2], tcp, m);
	if (m->len >= 2 && m->data[0] == 0x12 && m->data[1] == 0x34) {
		memcpy(m->data, query, 2); /* the id as asked */
	}
}

static void
serve_udp(struct dns_server *s, struct dns_message *m)
{
	uint8_t query[4096];
	struct sockaddr_in peer;
	socklen_t peer_len = sizeof(peer);
	ssize_t n = recvfrom(s->udp, query, sizeof(query), 0,
	                     (struct sockaddr *)&peer, &peer_len);

	if (n < 12) {
		return;
	}
	answer(s, query, (size_t)n, false, m);
	if (m->len > 0) {
		(void)sendto(s->udp, m->data, m->len, 0,
		             (const struct sockaddr *)&peer, peer_len);
	}
}

/* One question a connection, written at once by the resolver. */
static void
serve_tcp(struct dns_server *s, struct dns_message *m)
{
	uint8_t query[4096];
	int fd = accept(s->tcp, NULL, NULL);
	size_t have = 0;

	while (fd != -1 &&
	       (have < 2 || have < 2 + ((size_t)query[0] << 8 | query[1]))) {
		ssize_t n = recv(fd, query + have, sizeof(query) - have, 0);

		if (n <= 0) {
			break;
		}
		have += (size_t)n;
	}
	if (have > 14) {
		uint8_t size[2];

		answer(s, query + 2, have - 2, true, m);
		size[0] = (uint8_t)(m->len >> 8);
		size[1] = (uint8_t)m->len;
		if (m->len > 0) {
			(void)send(fd, size, 2, MSG_NOSIGNAL | MSG_MORE);
			(void)send(fd, m->data, m->len, MSG_NOSIGNAL);
		}
	}
	if (fd != -1) {
		close(fd);
	}
}

static void *
serve(void *arg)
{
	struct dns_server *s = arg;
	struct dns_message *m = calloc(1, sizeof(*m));
	struct pollfd fds[3] = { { .fd = s->udp, .events = POLLIN },
		                 { .fd = s->tcp, .events = POLLIN },
		                 { .fd = s->stop[0], .events = POLLIN } };

	assert(m != NULL);
	while (poll(fds, 3, -1) > 0 && fds[2].revents == 0) {
		if (fds[0].revents != 0) {
			serve_udp(s, m);
		}
		if (fds[1].revents != 0) {
			serve_tcp(s, m);
		}
	}
	free(m);
	return NULL;
}

struct dns_server *
dns_server_start(uint16_t port, dns_server_cb on_question, void *arg)
{
	struct dns_server *s = calloc(1, sizeof(*s));

	if (s == NULL || pipe(s->stop) == -1) {
		abort();
	}
	s->udp = listen_on(SOCK_DGRAM, port);
	s->tcp = listen_on(SOCK_STREAM, port);
	s->on_question = on_question;
	s->arg = arg;
	if (pthread_create(&s->thread, NULL, serve, s) != 0) {
		abort();
	}
	return s;
}

void
dns_server_stop(struct dns_server **sp)
{
	struct dns_server *s = *sp;

	*sp = NULL;
	close(s->stop[1]);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->udp);
	close(s->tcp);
	free(s);
}

unsigned
dns_server_questions(const struct dns_server *s)
{
	return atomic_load(&s->questions);
}
