/* gateway/inbox_name.h - a name that is safe to show and to save under, of what a sender says. Pure; any thread. */
#ifndef GATEWAY_INBOX_NAME_H
#define GATEWAY_INBOX_NAME_H

enum { INBOX_NAME = 256 }; /* bytes, terminator included */

/* Without directories, control and bidi characters, leading dots and spaces, or dots at its end; the names that Windows
 * keeps for devices get a '_' before them. Nothing left, or said (NULL): "file-<id>" with the ending of that type
 * (NULL: not known). */
void inbox_name(const char *said, const char *id, const char *type, char out[static INBOX_NAME]);

#endif
