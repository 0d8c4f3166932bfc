/* gateway/media.h - what kind of file an upload is, when its sender did not say: what its name ends with, as web
 * servers and recipients' desktops take it; else what its first bytes look like. Threads: any. */
#ifndef GATEWAY_MEDIA_H
#define GATEWAY_MEDIA_H

#include "gateway/spool.h"

enum { MEDIA_TYPE = 128 }; /* bytes, terminator included; libmagic's longest has 73 */

/* The media type of files whose names end like this one; NULL: nothing is known of such. */
const char *media_of_name(const char *name);

/* The media type by the first 64 KiB; "application/octet-stream" for what is empty or unknown. Blocks for a few
 * milliseconds (libmagic runs hundreds of patterns over text), so it belongs in the pool. Calls take turns: a libmagic
 * handle serves one thread at a time, and each costs 8 MB of memory. */
void media_sniff(const struct spool_file *file, char type[static MEDIA_TYPE]);

/* The usual file ending of a type, ".pdf"; "" when there is none. Parameters ("; charset=utf-8") are ignored. */
const char *media_ending(const char *type);

#endif
