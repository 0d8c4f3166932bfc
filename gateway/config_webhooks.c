#include "gateway/config_webhooks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "gateway/config_secret.h"

enum { PATH_ROOM = 4096, WHERE_ROOM = 128 };

/* missing: no such file is no error. */
static bool read_secret(struct webhook *w, bool old, const char *path, bool missing, struct error *err)
{
    FILE *file = fopen(path, "re");
    char where[WHERE_ROOM], *secret;
    bool ok;

    if (!file && errno == ENOENT && missing)
        return true;
    snprintf(where, sizeof where, "[webhook %s] %s", w->name, old ? "secret_old_file" : "secret_file");
    if (!file)
        return error_set(err, ERR_CONFIG, "%s: %.80s cannot be read: %s", where, path, strerror(errno));
    secret = config_secret(file, where, err);
    ok = secret && webhook_set_secret(w, old, secret, err);
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
    fclose(file);
    return ok;
}

static bool read_credential(struct webhook *w, bool old, const char *folder, struct error *err)
{
    char path[PATH_ROOM];

    return snprintf(path, sizeof path, "%s/webhook.%s.secret%s", folder, w->name, old ? "_old" : "") >= PATH_ROOM ||
           read_secret(w, old, path, true, err);
}

static const char *credentials_of(char *const *environment)
{
    static const char name[] = "CREDENTIALS_DIRECTORY=";

    for (char *const *entry = environment; entry && *entry; entry++)
        if (strncmp(*entry, name, strlen(name)) == 0)
            return *entry + strlen(name);
    return NULL;
}

bool config_webhooks_complete(struct webhook_list *list, char *const *environment, struct error *err)
{
    const char *credentials = credentials_of(environment);

    for (size_t i = 0; i < list->count; i++) {
        struct webhook *w = &list->items[i];

        if ((w->secret_file && !read_secret(w, false, w->secret_file, false, err)) ||
            (w->secret_old_file && !read_secret(w, true, w->secret_old_file, false, err)) ||
            (credentials && !read_credential(w, false, credentials, err)) ||
            (credentials && !read_credential(w, true, credentials, err)) || !webhook_complete(w, err))
            return false;
    }
    return true;
}

void config_webhooks_each_file(const struct webhook_list *list, void (*each)(void *user, const char *path), void *user)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct webhook *w = &list->items[i];
        const char *const paths[] = {w->secret_file, w->secret_old_file, w->ca};

        for (size_t k = 0; k < sizeof paths / sizeof *paths; k++)
            if (paths[k])
                each(user, paths[k]);
    }
}

void config_webhooks_show(const struct webhook_list *list, FILE *out)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct webhook *w = &list->items[i];
        char *url = webhook_shown_url(w);

        fprintf(out, "[webhook %s] url = %s  events = %s\n", w->name, url ? url : "?", w->events_text);
        free(url);
    }
}

void config_webhooks_keys(FILE *out)
{
    fputs(
        "\n; [webhook NAME]: one section for each receiver of events; SIGHUP applies it; in no environment variable.\n",
        out);
    for (const struct section_key *key = webhook_keys(); key->name; key++)
        fprintf(out, "; %s = %s\n", key->name, key->help);
}
