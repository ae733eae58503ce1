#ifndef SORTIE_MIME_TNEF_H
#define SORTIE_MIME_TNEF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "mime/rtf.h"

/*
 * application/ms-tnef, winmail.dat ([MS-OXTNEF]): a message in Rich Text as
 * Exchange and Outlook send it. Its body stands in MAPI properties of the
 * message: PidTagRtfCompressed ([MS-OXRTFCP]), PidTagBodyHtml, PidTagBody.
 * Pure; sizes are bounded by the input's, decompressed ones by
 * TNEF_RTF_MAX.
 */

#define TNEF_RTF_MAX (64 * 1024 * 1024)

/*
 * Appends the TNEF with the stationery in each body that it has: RTF
 * decompressed, edited, compressed again, lengths and checksums anew. All
 * other attributes stay octet for octet. -1: cannot be edited without loss
 * (no body, broken, unknown structure, a wrong checksum, octets behind the end,
 * a code page that cannot carry the text: a property becomes UTF-16 then, but
 * attBody cannot); *e says why and out is as before.
 */
int tnef_edit(const char *tnef, size_t len, const struct rtf_insert *in,
              struct buf *out, struct err *e)
	__attribute__((warn_unused_result));

/* What a reader sees of its bodies, as UTF-8; nothing when it has none. -1 as
 * above. */
int tnef_visible_text(const char *tnef, size_t len, struct buf *out,
                      struct err *e) __attribute__((warn_unused_result));

/* Is it a mail of a person (IPM.Note), not a meeting, receipt or report? */
bool tnef_is_note(const char *tnef, size_t len);

/* Compressed RTF by itself. decompress: -1 broken or over max (ERR_LIMIT). */
int tnef_rtf_decompress(const char *data, size_t len, size_t max,
                        struct buf *out, struct err *e)
	__attribute__((warn_unused_result));
int tnef_rtf_compress(const char *rtf, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

#endif
