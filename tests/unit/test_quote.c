/*
 * Where the thread begins in replies as real mailers write them, plain text
 * and HTML; "@@" stands there in the cases. And what must not be taken for a
 * thread: answers between the lines, "From:" in prose, poems.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mime/quote.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef bool (*find_fn)(const char *, size_t, size_t *);

/* Finds it at the "@@" of the case, or nothing if there is none. */
static void
check(find_fn find, const char *text)
{
	const char *mark = strstr(text, "@@");
	char *plain = mem_strdup(text);
	size_t want = mark == NULL ? 0 : (size_t)(mark - text);
	size_t at = SIZE_MAX;
	bool found = false;

	if (mark != NULL) {
		memmove(plain + want, plain + want + 2,
		        strlen(plain + want + 2) + 1);
	}
	found = find(plain, strlen(plain), &at);
	if (found != (mark != NULL) || (found && at != want)) {
		print_error("in: %s\n", text);
		if (found) {
			print_error("found at: %.60s\n", plain + at);
		}
		fail();
	}
	free(plain);
}

static void
check_all(find_fn find, const char *const *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		check(find, cases[i]);
	}
}

#define QUOTED "\n> Hello\n>\n> > older\n"

static void
text_introductions(void **state)
{
	static const char *const cases[] = {
		"Yes.\n\n@@On Wed, Nov 4, 2020 at 9:31 AM A B <a@b.example> "
		"wrote:\n" QUOTED,
		/* Wrapped. */
		"Yes.\n\n@@On Wed, Nov 4, 2020 at 9:31 AM Anna Long Name\n"
		"<a@b.example> wrote:\n" QUOTED,
		"Yes.\r\n\r\n@@On Wed, Nov 4, 2020 at 9:31 AM Anna Long\r\n"
		"Very Long Name via List\r\n<a@b.example> wrote:\r\n"
		"\r\n> a\r\n>\r\n",
		/* No blank line above it: the first word tells. */
		"Yes.\n@@On 04/11/2020 09:31, A B wrote:\n> Hello\n",
		"Yes.\n@@On 04/11/2020 09:31, A B\n<a@b.example> wrote:\n> x\n",
		"Ja.\n\n@@Am Mi., 4. Nov. 2020 um 09:31 Uhr schrieb A B <\n"
		"a@b.example>:\n" QUOTED,
		"Oui.\n\n@@Le mer. 4 nov. 2020 \xc3\xa0 09:31, A B "
		"<a@b.example> a \xc3\xa9"
		"crit\xc2\xa0:\n" QUOTED,
		"S\xc3\xad.\n\n@@El mi\xc3\xa9, 4 nov 2020 a las 9:31, A B "
		"(<a@b.example>)\nescribi\xc3\xb3:\n" QUOTED,
		"Si.\n\n@@Il giorno mer 4 nov 2020 alle ore 09:31 A B <\n"
		"a@b.example> ha scritto:\n" QUOTED,
		"Ja.\n\n@@Op wo 4 nov. 2020 om 09:31 schreef A B "
		"<a@b.example>:\n" QUOTED,
		"Sim.\n\n@@Em qua., 4 de nov. de 2020 \xc3\xa0s 09:31, A B "
		"<a@b.example>\nescreveu:\n" QUOTED,
		"Tak.\n\n@@W dniu 4.11.2020 o 09:31, A B pisze:\n> a\n",
		"Tak.\n\n@@\xc5\x9br., 4 lis 2020 o 09:31 A B <a@b.example> "
		"napisa\xc5\x82(a):\n" QUOTED,
		"Ja.\n\n@@Den ons 4 nov. 2020 kl 09:31 skrev A B "
		"<a@b.example>:\n" QUOTED,
		"Ja.\n\n@@ons. 4. nov. 2020 kl. 09:31 skrev A B "
		"<a@b.example>:\n" QUOTED,
		"Joo.\n\n@@ke 4. marrask. 2020 klo 9.31 A B (a@b.example) "
		"kirjoitti:\n" QUOTED,
		"Ano.\n\n@@st 4. 11. 2020 v 9:31 odes\xc3\xadlatel A B "
		"<a@b.example> napsal:\n" QUOTED,
		"\xd0\x94\xd0\xb0.\n\n@@\xd1\x81\xd1\x80, 4 2020, 09:31 A B "
		"<a@b.example>:\n" QUOTED,
		"\n@@2020\xe5\xb9\xb4"
		"11\xe6\x9c\x88"
		"4\xe6\x97\xa5 9:31 A B <a@b.example>:\n" QUOTED,
		"\xe5\xa5\xbd\n\n@@A B <a@b.example> "
		"\xe4\xba\x8e"
		"2020\xe5\xb9\xb4 09:31\xe5\x86\x99\xe9\x81\x93\xef\xbc\x9a"
		"\n" QUOTED,
		/* Mutt, and a prose line of the writer's that is none. */
		"Yes.\n\n@@On Wed, Nov 04, 2020 at 09:31:00AM +0100, A B "
		"wrote:\n> a\n",
		"As I wrote:\n@@> a\n",
		"Yes:\n\n@@> a\n",
		/* Proton writes both. */
		"Yes.\n\n@@------- Original Message -------\nOn Wednesday, "
		"November 4th, 2020 at 9:31, A <a@b.example> wrote:\n" QUOTED,
		/* iPhone quotes its introduction too. */
		"Yes\n\nSent from my iPhone\n\n@@> On Nov 4, 2020, at 9:31, A "
		"wrote:\n> \n> \xef\xbb\xbfHello\n",
	};

	(void)state;
	check_all(quote_find_text, cases, COUNT(cases));
}

static void
text_plain(void **state)
{
	static const char *const cases[] = {
		"Yes.\n\n@@> Can you come?\n",
		"@@> nothing of the writer's\n",
		/* A signature belongs to the writer, above or below. */
		"Yes.\n-- \nA\n\n@@On 4/11/2020, B wrote:\n> Hello\n",
		"Yes.\n\n@@On 4/11/2020, B wrote:\n> Hello\n\n-- \nA\nCompany\n",
		"Yes.\n\n@@> Hello\n\n> there\n--\nA\n",
		/* Answers between and below the lines. */
		"On 4/11/2020, B wrote:\n> Can you come?\n\nYes.\n",
		"> Can you?\nYes.\n> When?\n",
		"> Can you?\nYes.\n> When?\nNow.\n-- \nA\n",
		"Hi\n> roses\n> violets\nis a poem.\n",
		"Hi\n> roses\n> violets\nis.\n\nOn 4/11/2020, B wrote:\n> a\n",
		/* The mark of a mailbox is none of quotation. */
		"Yes.\n>From here on\n",
		"Yes.\n>From here on\n\n@@> a\n>From\n",
		/* Words without a quotation. */
		"On Monday 4 he wrote:\nnothing\n",
		"On Monday 4 he wrote:\n",
		"a > b\n",
		"",
		"\n\n",
		" > stuffed\n",
	};

	(void)state;
	check_all(quote_find_text, cases, COUNT(cases));
}

static void
text_headers(void **state)
{
	static const char *const cases[] = {
		"Yes.\n\n@@From: A <a@b.example>\nSent: Monday 9:31\nTo: B\n"
		"Subject: x\n\nHello\nanything\n",
		"Yes.\r\n\r\n@@________________________________\r\n"
		"From: A\r\nSent: Monday\r\nTo: B\r\nCc: C\r\nSubject: x\r\n"
		"\r\nHello\r\n",
		"Yes.\n@@________________________________\n\n"
		"From: A\nDate: x\nTo: B;\n C;\n D\nSubject: x\n\nHello\n",
		"Yes.\n\n@@-----Original Message-----\nFrom: A\n"
		"Sent: Monday\nHello\n",
		"Yes.\n\n@@-----Original Message-----\n> From: A\n> Sent: x\n",
		"Ja.\n\n@@-----Urspr\xc3\xbcngliche Nachricht-----\nVon: A\n",
		"Ja.\n\n@@Von: A\nGesendet: Mo\nAn: B\nBetreff: x\n\nHallo\n",
		"Oui.\n\n@@De : A\nEnvoy\xc3\xa9 : lundi\n\xc3\x80 : B\n"
		"Objet : x\n\nBonjour\n",
		"Oui.\n\n@@De\xc2\xa0: A\nEnvoy\xc3\xa9\xc2\xa0: lundi\n"
		"\xc3\x80\xc2\xa0: B\nObjet\xc2\xa0: x\n\nBonjour\n",
		"Si.\n\n@@De: A\nEnviado el: lunes\nPara: B\nAsunto: x\n\nHo\n",
		"Si.\n\n@@Da: A\nInviato: lun\nA: B\nOggetto: x\n\nCiao\n",
		"Ja.\n\n@@Van: A\nVerzonden: ma\nAan: B\nOnderwerp: x\n\nHoi\n",
		"Tak.\n\n@@Od: A\nWys\xc5\x82"
		"ano: pn\nDo: B\nTemat: x\n\nHej\n",
		"Sim.\n\n@@De: A\nEnviada em: x\nPara: B\nAssunto: x\n\nOi\n",
		"Ja.\n\n@@Fr\xc3\xa5n: A\nSkickat: x\nTill: B\n\xc3\x84mne: x\n",
		"Ja.\n\n@@Fra: A\nSendt: x\nTil: B\nEmne: x\n\nHej\n",
		"Joo.\n\n@@L\xc3\xa4hett\xc3\xa4j\xc3\xa4: A\n"
		"L\xc3\xa4hetetty: x\nVastaanottaja: B\nAihe: x\n",
		"Ano.\n\n@@Od: A\nOdesl\xc3\xa1no: x\nKomu: B\n"
		"P\xc5\x99"
		"edm\xc4\x9bt: x\n",
		"\n@@\xd0\x9e\xd1\x82: A\n"
		"\xd0\x9e\xd1\x82\xd0\xbf\xd1\x80\xd0\xb0\xd0\xb2\xd0\xbb"
		"\xd0\xb5\xd0\xbd\xd0\xbe: x\n\xd0\xa2\xd0\xb5\xd0\xbc"
		"\xd0\xb0: x\n",
		"\n@@\xe5\xb7\xae\xe5\x87\xba\xe4\xba\xba: A\n"
		"\xe9\x80\x81\xe4\xbf\xa1\xe6\x97\xa5\xe6\x99\x82: x\n"
		"\xe5\xae\x9b\xe5\x85\x88: B\n\xe4\xbb\xb6\xe5\x90\x8d: x\n",
		"\n@@\xe5\x8f\x91\xe4\xbb\xb6\xe4\xba\xba\xef\xbc\x9a A\n"
		"\xe5\x8f\x91\xe9\x80\x81\xe6\x97\xb6\xe9\x97\xb4: x\n"
		"\xe4\xb8\xbb\xe9\xa2\x98: x\n",
		"*A*\n\n@@*From:* A\n*Sent:* x\n*To:* B\n*Subject:* x\n\nx\n",
		/* Forwards. */
		"See.\n\n@@---------- Forwarded message ---------\nFrom: A "
		"<a@b.example>\nDate: x\nSubject: y\nTo: B\n\n\nHello\n",
		"See.\n\n@@Begin forwarded message:\n\n> From: A\n> Subject: x\n"
		"> \n> Hello\n",
		"See.\n\n@@Begin forwarded message:\n\nFrom: A\nSubject: x\n\nH\n",
		"@@Anfang der weitergeleiteten Nachricht:\n\n> Von: A\n",
		"@@-------- Forwarded Message --------\nSubject: x\nDate: y\n",
		"See.\n@@-----A/Org wrote: -----\nTo: B\nFrom: A\n",
		/* An answer between the lines of an older thread's top. */
		"> a\nYes.\n\n@@From: A\nSent: x\nTo: B\nSubject: y\n\nHello\n",
		/* No headers, or such as prose has them. */
		"From: the beginning\nit was clear.\n",
		"From: Rome\nTo: Paris\nDate: 3 May\n\nSee you.\n",
		"See\nFrom: A\nSent: x\nTo: B\nSubject: y\n",
		"See\n\nFrom: A\n\nSent: x\n\nSubject: y\n",
		"See\n\nFrom: A\n1\n2\n3\n4\n5\n6\n7\nSent: x\nSubject: y\n",
		"-----Original Message-----\nis a strange title.\n",
		"-----Original Message-----\n",
		"Begin forwarded message:\nno, not really.\n",
		"________________________________\nFrom all of us.\n",
	};

	(void)state;
	check_all(quote_find_text, cases, COUNT(cases));
}

/* Lines without end (checklist B38). */
static void
linear(void **state)
{
	static const struct {
		const char *unit;
		bool html;
	} cases[] = {
		{ "> \n", false },        { ">", false },
		{ "On ", false },         { "On \n", false },
		{ "On 1\n", false },      { "From: \n", false },
		{ "\nFrom: a\n", false }, { "-", false },
		{ "----\n", false },      { "________\n", false },
		{ "\n", false },          { "\xc2\xa0", false },
		{ "wrote", false },
	};

	size_t size = 2 << 20;
	char *text = mem_alloc(size);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t n = strlen(cases[i].unit);
		size_t len = size - size % n;
		size_t at = 0;
		clock_t start = 0;
		double seconds = 0;

		for (size_t k = 0; k < len; k += n) {
			memcpy(text + k, cases[i].unit, n);
		}
		start = clock();
		(void)(cases[i].html ? quote_find_html
		                     : quote_find_text)(text, len, &at);
		seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
		if (seconds > 2) {
			print_error("%s: %.3f s\n", cases[i].unit, seconds);
			fail();
		}
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_introductions),
		cmocka_unit_test(text_plain),
		cmocka_unit_test(text_headers),
		cmocka_unit_test(linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
