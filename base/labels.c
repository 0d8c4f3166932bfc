#include "base/labels.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";

bool labels_next(const char **at, struct label *out)
{
    const char *line = *at, *colon;

    if (!line || !*line || !line[1])
        return false;
    line++;
    colon = strchr(line, ':');
    *out = (struct label){.name = line, .name_len = (size_t)(colon - line), .value = colon + 1};
    out->value_len = strcspn(out->value, "\n");
    *at = out->value + out->value_len;
    return true;
}

static bool check_name(const char *name, size_t len, struct error *err)
{
    if (len == 0)
        return error_set(err, ERR_PARAMETER_INVALID, "label: without a name; write name:value");
    if (len > LABEL_NAME_MOST)
        return error_set(err, ERR_PARAMETER_INVALID, "label: a name longer than %d bytes", LABEL_NAME_MOST);
    for (size_t i = 0; i < len; i++)
        if (!name[i] || !strchr(name_chars, name[i]))
            return error_set(err, ERR_PARAMETER_INVALID, "label: a name is made of letters, digits and '._/-'");
    return true;
}

static bool check_value(const char *value, struct error *err)
{
    size_t len = strlen(value);

    if (len > LABEL_VALUE_MOST)
        return error_set(err, ERR_PARAMETER_INVALID, "label: a value longer than %d bytes", LABEL_VALUE_MOST);
    if (!text_is_xml(value, len))
        return error_set(err, ERR_PARAMETER_INVALID, "label: a value that is not UTF-8 text");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
            return error_set(err, ERR_PARAMETER_INVALID, "label: a value with a line break or another control");
    return true;
}

/* As strcmp(), of a name that ends with its length. */
static int compare(const struct label *l, const char *name, size_t len)
{
    int order = memcmp(l->name, name, l->name_len < len ? l->name_len : len);

    return order ? order : (l->name_len > len) - (l->name_len < len);
}

/* Where in the text the new one belongs. */
static bool find_place(const char *labels, const char *name, size_t len, size_t *place, struct error *err)
{
    const char *at = labels;
    size_t count = 0;
    struct label l;

    *place = 0;
    while (labels_next(&at, &l)) {
        int order = compare(&l, name, len);

        if (order == 0)
            return error_set(err, ERR_PARAMETER_INVALID, "label: '%.*s' is given twice", (int)len, name);
        if (order < 0)
            *place = (size_t)(at - labels);
        count++;
    }
    return count < LABELS_MOST || error_set(err, ERR_PARAMETER_INVALID, "label: at most %d of them", LABELS_MOST);
}

bool labels_add(char **labels, const char *name, size_t name_len, const char *value, struct error *err)
{
    const char *before = *labels ? *labels : "\n";
    struct buf all = {0};
    size_t place;
    char *text;

    if (!check_name(name, name_len, err) || !check_value(value, err) ||
        !find_place(*labels, name, name_len, &place, err))
        return false;
    buf_add(&all, before, place);
    buf_puts(&all, "\n");
    buf_add(&all, name, name_len);
    buf_puts(&all, ":");
    buf_puts(&all, value);
    buf_puts(&all, before + place);
    text = buf_steal(&all);
    if (!text)
        return error_set(err, ERR_INTERNAL, "out of memory");
    free(*labels);
    *labels = text;
    return true;
}

bool labels_read(char **labels, const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');

    if (!colon)
        return error_set(err, ERR_PARAMETER_INVALID, "label: write name:value");
    return labels_add(labels, text, (size_t)(colon - text), colon + 1, err);
}

bool labels_have(const char *labels, const char *wanted)
{
    struct label w, l;

    while (labels_next(&wanted, &w)) {
        const char *at = labels;
        bool found = false;

        while (!found && labels_next(&at, &l))
            found = compare(&l, w.name, w.name_len) == 0 && l.value_len == w.value_len &&
                    memcmp(l.value, w.value, w.value_len) == 0;
        if (!found)
            return false;
    }
    return true;
}
