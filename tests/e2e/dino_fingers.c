/* What a person does at Dino's window to send a file, put into it with LD_PRELOAD; the program itself stays as Debian
 * ships it. Each line on the descriptor DINO_COMMANDS is "CONVERSATION FILE", the former as Dino's database numbers it.
 * Dino ships no headers; what is declared here is what its library exports. */
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

void *dino_application_get_default(void);
void *dino_application_get_stream_interactor(void *application);
void *dino_stream_interactor_get_module(void *interactor, GType type, GBoxedCopyFunc copy, GDestroyNotify destroy,
                                        void *identity);
void *dino_conversation_manager_get_conversation_by_id(void *manager, int id);
void dino_file_manager_send_file(void *manager, GFile *file, void *conversation, GAsyncReadyCallback done, void *user);
extern void *dino_conversation_manager_IDENTITY, *dino_file_manager_IDENTITY;

static void *module(void *identity)
{
    void *interactor = dino_application_get_stream_interactor(dino_application_get_default());

    return dino_stream_interactor_get_module(interactor, G_TYPE_OBJECT, (GBoxedCopyFunc)g_object_ref, g_object_unref,
                                             identity);
}

static gboolean on_command(GIOChannel *channel, GIOCondition seen, gpointer ignored)
{
    char *line = NULL, *path;

    (void)seen, (void)ignored;
    if (g_io_channel_read_line(channel, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL)
        return FALSE;
    path = strchr(g_strchomp(line), ' ') + 1;
    dino_file_manager_send_file(
        module(dino_file_manager_IDENTITY), g_file_new_for_path(path),
        dino_conversation_manager_get_conversation_by_id(module(dino_conversation_manager_IDENTITY), atoi(line)), NULL,
        NULL);
    g_free(line);
    return TRUE;
}

__attribute__((constructor)) static void begin(void)
{
    const char *commands = getenv("DINO_COMMANDS");

    if (commands)
        g_io_add_watch(g_io_channel_unix_new(atoi(commands)), (GIOCondition)(G_IO_IN | G_IO_HUP), on_command, NULL);
}
