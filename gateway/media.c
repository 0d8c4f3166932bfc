/* gateway/media.c - what kind of file an upload is, see media.h. */
#include "gateway/media.h"

#include <magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

enum { SNIFF_SIZE = 64 * 1024 };

static const char unknown[] = "application/octet-stream";

/* One for the process, opened when first needed and kept: its rules are compiled on first use. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static magic_t handle; /* under lock */

/* Under lock. */
static magic_t open_handle(void)
{
    magic_t m = magic_open(MAGIC_MIME_TYPE);

    if (m && magic_load(m, NULL) == 0)
        return m;
    log_error("media.magic", log_str("error", m ? magic_error(m) : "out of memory"));
    if (m)
        magic_close(m);
    return NULL;
}

/* libmagic also answers "inode/x-empty", and in words when something fails. */
static bool is_type(const char *text)
{
    return text && strchr(text, '/') && !strpbrk(text, " \t\r\n") && strlen(text) < MEDIA_TYPE &&
           strncmp(text, "inode/", 6) != 0;
}

void media_sniff(const struct spool_file *file, char type[static MEDIA_TYPE])
{
    char *head = malloc(SNIFF_SIZE);
    size_t len = head ? spool_peek(file, head, SNIFF_SIZE) : 0;
    const char *found = NULL;

    if (len > 0) {
        pthread_mutex_lock(&lock);
        if (!handle)
            handle = open_handle();
        if (handle)
            found = magic_buffer(handle, head, len);
        snprintf(type, MEDIA_TYPE, "%s", is_type(found) ? found : unknown);
        pthread_mutex_unlock(&lock);
    } else {
        snprintf(type, MEDIA_TYPE, "%s", unknown);
    }
    free(head);
}

struct media {
    const char *type, *ending;
};

/* Of several types with an ending the first is meant by it. */
static const struct media usual[] = {
    {"audio/ogg", ".ogg"},
    {"application/epub+zip", ".epub"},
    {"application/gzip", ".gz"},
    {"application/java-archive", ".jar"},
    {"application/json", ".json"},
    {"application/msword", ".doc"},
    {"application/ogg", ".ogg"},
    {"application/pdf", ".pdf"},
    {"application/pgp-encrypted", ".asc"},
    {"application/postscript", ".ps"},
    {"application/rtf", ".rtf"},
    {"application/vnd.android.package-archive", ".apk"},
    {"application/vnd.debian.binary-package", ".deb"},
    {"application/vnd.ms-excel", ".xls"},
    {"application/vnd.ms-powerpoint", ".ppt"},
    {"application/vnd.oasis.opendocument.presentation", ".odp"},
    {"application/vnd.oasis.opendocument.spreadsheet", ".ods"},
    {"application/vnd.oasis.opendocument.text", ".odt"},
    {"application/vnd.openxmlformats-officedocument.presentationml.presentation", ".pptx"},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"},
    {"application/vnd.sqlite3", ".sqlite3"},
    {"application/x-7z-compressed", ".7z"},
    {"application/x-bzip2", ".bz2"},
    {"application/x-iso9660-image", ".iso"},
    {"application/x-rar", ".rar"},
    {"application/x-rpm", ".rpm"},
    {"application/x-tar", ".tar"},
    {"application/x-xz", ".xz"},
    {"application/xml", ".xml"},
    {"application/zip", ".zip"},
    {"application/zstd", ".zst"},
    {"audio/aac", ".aac"},
    {"audio/flac", ".flac"},
    {"audio/midi", ".mid"},
    {"audio/mp4", ".m4a"},
    {"audio/mpeg", ".mp3"},
    {"audio/opus", ".opus"},
    {"audio/wav", ".wav"},
    {"audio/x-hx-aac-adts", ".aac"},
    {"audio/x-m4a", ".m4a"},
    {"audio/x-wav", ".wav"},
    {"font/otf", ".otf"},
    {"font/ttf", ".ttf"},
    {"font/sfnt", ".ttf"},
    {"font/woff", ".woff"},
    {"font/woff2", ".woff2"},
    {"image/avif", ".avif"},
    {"image/bmp", ".bmp"},
    {"image/gif", ".gif"},
    {"image/heic", ".heic"},
    {"image/jpeg", ".jpg"},
    {"image/jxl", ".jxl"},
    {"image/png", ".png"},
    {"image/svg+xml", ".svg"},
    {"image/tiff", ".tiff"},
    {"image/vnd.microsoft.icon", ".ico"},
    {"image/webp", ".webp"},
    {"message/rfc822", ".eml"},
    {"text/calendar", ".ics"},
    {"text/css", ".css"},
    {"text/csv", ".csv"},
    {"text/html", ".html"},
    {"text/javascript", ".js"},
    {"text/markdown", ".md"},
    {"text/plain", ".txt"},
    {"text/rtf", ".rtf"},
    {"text/vcard", ".vcf"},
    {"text/x-c", ".c"},
    {"text/x-diff", ".diff"},
    {"text/x-python", ".py"},
    {"text/x-script.python", ".py"},
    {"text/x-shellscript", ".sh"},
    {"text/xml", ".xml"},
    {"video/mp4", ".mp4"},
    {"video/mpeg", ".mpeg"},
    {"video/ogg", ".ogv"},
    {"video/quicktime", ".mov"},
    {"video/webm", ".webm"},
    {"video/x-matroska", ".mkv"},
    {"video/x-msvideo", ".avi"},
};

/* Endings that are not the first that one would give. */
static const struct media other[] = {
    {"application/gzip", ".tgz"},  {"application/octet-stream", ".bin"},
    {"application/yaml", ".yaml"}, {"application/yaml", ".yml"},
    {"audio/ogg", ".oga"},         {"image/heic", ".heif"},
    {"image/jpeg", ".jpeg"},       {"image/tiff", ".tif"},
    {"text/html", ".htm"},         {"text/plain", ".log"},
    {"text/x-diff", ".patch"},     {"video/mpeg", ".mpg"},
};

enum { USUAL = sizeof usual / sizeof *usual, OTHER = sizeof other / sizeof *other };

static const char *type_of(const struct media *list, size_t count, const char *ending)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(list[i].ending, ending) == 0)
            return list[i].type;
    }
    return NULL;
}

const char *media_of_name(const char *name)
{
    const char *ending = strrchr(name, '.'), *type;

    if (!ending || ending == name) /* a hidden file's name is no ending */
        return NULL;
    type = type_of(usual, USUAL, ending);
    return type ? type : type_of(other, OTHER, ending);
}

const char *media_ending(const char *type)
{
    size_t len = strcspn(type, "; \t");

    for (size_t i = 0; i < USUAL; i++) {
        if (strlen(usual[i].type) == len && strncasecmp(usual[i].type, type, len) == 0)
            return usual[i].ending;
    }
    return "";
}
