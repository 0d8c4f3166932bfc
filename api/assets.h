/* api/assets.h - files for browsers: those that the program carries, and how any such file is answered.
 *
 * The build makes the table of api/<folder>/ (scripts/embed_assets.cmake), each file with a tag of its content and a
 * gzipped copy. Every answer has an ETag that is another for other content, and asks to be looked at again each time,
 * so a new program's page is there at once and an old one's costs a 304. HTTP thread. */
#ifndef API_ASSETS_H
#define API_ASSETS_H

#include "api/request.h"

struct asset {
    const char *path; /* folder/name; NULL: the end of the table */
    const char *tag;
    const unsigned char *data, *end, *packed, *packed_end;
};

extern const struct asset embedded_assets[];

/* What a set of pages may do in a browser, and where it lies. */
struct site {
    const char *folder; /* of api/ */
    const char *policy; /* Content-Security-Policy */
};

/* Answers with that file of the site, 304 where the caller has it, 404 where there is none. disk: a folder to read it
 * from instead; NULL: none. name may hold anything: only names that are letters, digits, '-', '_' and '.', and do not
 * begin with a '.', are files, and only plain files are read. */
enum MHD_Result reply_asset(struct request *rq, const struct site *site, const char *disk, const char *name);

/* By the ending of a name; NULL: none that a site has. */
const char *asset_type(const char *name);

/* NULL: there is none. */
const struct asset *asset_find(const char *folder, const char *name);

/* Opens a plain file of that folder; -1: there is none, or its name is no file's. */
int asset_open(const char *folder, const char *name);

#endif
