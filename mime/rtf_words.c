/*
 * Tables of RTF: control words that matter to who reads the text of a
 * message, code pages, and the characters of UTF-8.
 */
#include <string.h>

#include "base/utf8.h"
#include "mime/rtf_private.h"

/* Sorted by name. */
static const struct rtf_word words[] = {
	{ "annotation", RTF_DESTINATION, 0, NULL },
	{ "ansi", RTF_CHARSET, 1252, NULL },
	{ "ansicpg", RTF_ANSICPG, 0, NULL },
	{ "atnauthor", RTF_DESTINATION, 0, NULL },
	{ "atnid", RTF_DESTINATION, 0, NULL },
	{ "author", RTF_DESTINATION, 0, NULL },
	{ "bin", RTF_BIN, 0, NULL },
	{ "blue", RTF_SHADE, 2, NULL },
	{ "bullet", RTF_CHARACTER, 0x2022, "&bull;" },
	{ "buptim", RTF_DESTINATION, 0, NULL },
	{ "cb", RTF_ON_BACK, 0, NULL },
	{ "cbpat", RTF_ON_BACK, 0, NULL },
	{ "cell", RTF_CELL, 0, "\t" },
	{ "cf", RTF_CF, 0, NULL },
	{ "chcbpat", RTF_ON_BACK, 0, NULL },
	{ "colortbl", RTF_COLORTBL, 0, NULL },
	{ "column", RTF_LINE, 0, "\r\n" },
	{ "comment", RTF_DESTINATION, 0, NULL },
	{ "cpg", RTF_CPG, 0, NULL },
	{ "creatim", RTF_DESTINATION, 0, NULL },
	{ "deff", RTF_DEFF, 0, NULL },
	{ "doccomm", RTF_DESTINATION, 0, NULL },
	{ "emdash", RTF_CHARACTER, 0x2014, "&mdash;" },
	{ "emspace", RTF_CHARACTER, 0x2003, "&emsp;" },
	{ "endash", RTF_CHARACTER, 0x2013, "&ndash;" },
	{ "enspace", RTF_CHARACTER, 0x2002, "&ensp;" },
	{ "f", RTF_F, 0, NULL },
	{ "fcharset", RTF_FCHARSET, 0, NULL },
	{ "filetbl", RTF_DESTINATION, 0, NULL },
	{ "fldinst", RTF_DESTINATION, 0, NULL },
	{ "fonttbl", RTF_FONTTBL, 0, NULL },
	{ "footer", RTF_DESTINATION, 0, NULL },
	{ "footerf", RTF_DESTINATION, 0, NULL },
	{ "footerl", RTF_DESTINATION, 0, NULL },
	{ "footerr", RTF_DESTINATION, 0, NULL },
	{ "fromhtml", RTF_FROMHTML, 0, NULL },
	{ "fs", RTF_FS, 0, NULL },
	{ "green", RTF_SHADE, 1, NULL },
	{ "header", RTF_DESTINATION, 0, NULL },
	{ "headerf", RTF_DESTINATION, 0, NULL },
	{ "headerl", RTF_DESTINATION, 0, NULL },
	{ "headerr", RTF_DESTINATION, 0, NULL },
	{ "highlight", RTF_ON_BACK, 0, NULL },
	{ "htmlrtf", RTF_DO_HTMLRTF, 0, NULL },
	{ "htmltag", RTF_HTMLTAG, 0, NULL },
	{ "info", RTF_DESTINATION, 0, NULL },
	{ "intbl", RTF_IN_ROW, 0, NULL },
	{ "keywords", RTF_DESTINATION, 0, NULL },
	{ "ldblquote", RTF_CHARACTER, 0x201c, "&ldquo;" },
	{ "line", RTF_LINE, 0, "<br>\r\n" },
	{ "listtable", RTF_DESTINATION, 0, NULL },
	{ "lquote", RTF_CHARACTER, 0x2018, "&lsquo;" },
	{ "mac", RTF_CHARSET, 10000, NULL },
	{ "mhtmltag", RTF_DESTINATION, 0, NULL },
	{ "nestcell", RTF_CELL, 0, "\t" },
	{ "nestrow", RTF_LINE, 0, "\r\n" },
	{ "nonshppict", RTF_DESTINATION, 0, NULL },
	{ "objdata", RTF_DESTINATION, 0, NULL },
	{ "operator", RTF_DESTINATION, 0, NULL },
	{ "page", RTF_LINE, 0, "\r\n" },
	{ "par", RTF_LINE, 0, "\r\n" },
	{ "pard", RTF_PARD, 0, NULL },
	{ "pc", RTF_CHARSET, 437, NULL },
	{ "pca", RTF_CHARSET, 850, NULL },
	{ "pict", RTF_DESTINATION, 0, NULL },
	{ "plain", RTF_PLAIN, 0, NULL },
	{ "printim", RTF_DESTINATION, 0, NULL },
	{ "private1", RTF_DESTINATION, 0, NULL },
	{ "qmspace", RTF_CHARACTER, 0x2005, "&#8197;" },
	{ "rdblquote", RTF_CHARACTER, 0x201d, "&rdquo;" },
	{ "red", RTF_SHADE, 0, NULL },
	{ "revtbl", RTF_DESTINATION, 0, NULL },
	{ "revtim", RTF_DESTINATION, 0, NULL },
	{ "row", RTF_ROW, 0, "\r\n" },
	{ "rquote", RTF_CHARACTER, 0x2019, "&rsquo;" },
	{ "rxe", RTF_DESTINATION, 0, NULL },
	{ "sect", RTF_LINE, 0, "\r\n" },
	{ "shpinst", RTF_INNER, 0, NULL },
	{ "shptxt", RTF_INNER, 0, NULL },
	{ "sp", RTF_DESTINATION, 0, NULL },
	{ "stylesheet", RTF_DESTINATION, 0, NULL },
	{ "subject", RTF_DESTINATION, 0, NULL },
	{ "tab", RTF_CHARACTER, '\t', "&#09;" },
	{ "tc", RTF_DESTINATION, 0, NULL },
	{ "template", RTF_DESTINATION, 0, NULL },
	{ "title", RTF_DESTINATION, 0, NULL },
	{ "trowd", RTF_IN_ROW, 0, NULL },
	{ "txe", RTF_DESTINATION, 0, NULL },
	{ "u", RTF_U, 0, NULL },
	{ "uc", RTF_UC, 0, NULL },
	{ "v", RTF_V, 0, NULL },
	{ "xe", RTF_DESTINATION, 0, NULL },
};

const struct rtf_word *
rtf_find_word(const char *name, size_t len)
{
	size_t low = 0;
	size_t high = sizeof(words) / sizeof(words[0]);

	/* Most words of a document are none of these: the first letter tells
	 * mostly. */
	while (low < high) {
		size_t mid = (low + high) / 2;
		const char *other = words[mid].name;
		int diff = name[0] - other[0];

		if (diff == 0) {
			diff = strncmp(name, other, len);
		}
		if (diff == 0 && other[len] == '\0') {
			return &words[mid];
		}
		if (diff > 0) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return NULL;
}

const char *
rtf_codepage_name(unsigned codepage)
{
	static const struct {
		unsigned codepage;
		const char *name;
	} names[] = {
		{ 1252, "windows-1252" }, { 1250, "windows-1250" },
		{ 1251, "windows-1251" }, { 1253, "windows-1253" },
		{ 1254, "windows-1254" }, { 1255, "windows-1255" },
		{ 1256, "windows-1256" }, { 1257, "windows-1257" },
		{ 1258, "windows-1258" }, { 65001, "utf-8" },
		{ 20127, "us-ascii" },    { 932, "cp932" },
		{ 936, "gbk" },           { 949, "cp949" },
		{ 950, "big5" },          { 874, "windows-874" },
		{ 437, "ibm437" },        { 850, "ibm850" },
		{ 852, "ibm852" },        { 866, "ibm866" },
		{ 10000, "macintosh" },   { 28591, "iso-8859-1" },
		{ 28592, "iso-8859-2" },  { 28593, "iso-8859-3" },
		{ 28594, "iso-8859-4" },  { 28595, "iso-8859-5" },
		{ 28596, "iso-8859-6" },  { 28597, "iso-8859-7" },
		{ 28598, "iso-8859-8" },  { 28599, "iso-8859-9" },
		{ 28603, "iso-8859-13" }, { 28605, "iso-8859-15" },
		{ 20866, "koi8-r" },      { 21866, "koi8-u" },
		{ 51932, "euc-jp" },      { 51949, "cp949" },
		{ 54936, "gb18030" },     { 50220, "iso-2022-jp" },
		{ 50221, "iso-2022-jp" }, { 50222, "iso-2022-jp" },
		{ 1200, "utf-16le" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].codepage == codepage) {
			return names[i].name;
		}
	}
	return NULL;
}

/* RTF 1.9, the table of \fcharset. */
unsigned
rtf_charset_codepage(unsigned fcharset, unsigned fallback)
{
	static const struct {
		uint16_t fcharset;
		uint16_t codepage;
	} pages[] = {
		{ 0, 1252 },   { 2, 1252 },   { 77, 10000 }, { 128, 932 },
		{ 129, 949 },  { 130, 1361 }, { 134, 936 },  { 136, 950 },
		{ 161, 1253 }, { 162, 1254 }, { 163, 1258 }, { 177, 1255 },
		{ 178, 1256 }, { 186, 1257 }, { 204, 1251 }, { 222, 874 },
		{ 238, 1250 }, { 254, 437 },  { 255, 850 },
	};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (pages[i].fcharset == fcharset) {
			return pages[i].codepage;
		}
	}
	return fallback;
}

size_t
rtf_get_utf8(const char *p, size_t len, uint32_t *c_r)
{
	size_t n = utf8_decode(p, len, c_r);

	if (n == 0) {
		*c_r = 0xfffd;
		return 1;
	}
	return n;
}
