/* A recipient and a sender: libpurple's own jabber protocol, as Pidgin, Finch and bitlbee run it; SI over SOCKS5
 * bytestreams and in-band.
 *   purple_peer JID PASSWORD HOST PORT --home DIR [--decline] [--only-proxy] [--proxy JID]
 * Tells what happens as one JSON object a line: ready, offer, file, broken, message, sent, unsent. Ends when its
 * standard input does; a line there is a command: "send JID si FILE".
 * --only-proxy: it finds no port to listen on; --proxy: that one, before those of the server.
 *
 * Its habits, as far as a sender meets them:
 * - what it cannot read (an SI without a form, a bytestream offer without port or for an unknown sid) it does not
 * answer at all;
 * - it goes to the streamhosts one after the other, 15 s each, and takes the bytes as far as the size told in the
 * offer;
 * - it takes the close of an in-band stream without a word;
 * - it answers the offer of an empty file and connects, but counts a stream without bytes as cancelled by the sender.
 */
#include <arpa/inet.h>
#include <glib.h>
#include <jansson.h>
#include <netinet/in.h>
#include <purple.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static GMainLoop *loop;
static FILE *listener; /* libpurple prints what it likes to stdout */
static const char *files;
static gboolean decline, only_proxy;
static const char *proxy = "";
static PurpleConnection *online;

static void tell(json_t *event)
{
    json_dumpf(event, listener, JSON_COMPACT);
    putc('\n', listener);
    fflush(listener);
    json_decref(event);
}

/* libpurple's loop is whatever the program has; this is GLib's. */
struct watch {
    PurpleInputFunction call;
    gpointer data;
};

static gboolean on_io(GIOChannel *channel, GIOCondition seen, gpointer data)
{
    struct watch *w = data;
    int condition = 0;

    if (seen & (G_IO_IN | G_IO_HUP | G_IO_ERR))
        condition |= PURPLE_INPUT_READ;
    if (seen & (G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL))
        condition |= PURPLE_INPUT_WRITE;
    w->call(w->data, g_io_channel_unix_get_fd(channel), (PurpleInputCondition)condition);
    return TRUE;
}

static guint watch_input(int fd, PurpleInputCondition condition, PurpleInputFunction call, gpointer data)
{
    struct watch *w = g_new(struct watch, 1);
    GIOChannel *channel = g_io_channel_unix_new(fd);
    int wanted = G_IO_HUP | G_IO_ERR | G_IO_NVAL;
    guint id;

    *w = (struct watch){call, data};
    if (condition & PURPLE_INPUT_READ)
        wanted |= G_IO_IN;
    if (condition & PURPLE_INPUT_WRITE)
        wanted |= G_IO_OUT;
    id = g_io_add_watch_full(channel, G_PRIORITY_DEFAULT, (GIOCondition)wanted, on_io, w, g_free);
    g_io_channel_unref(channel);
    return id;
}

static PurpleEventLoopUiOps event_loop = {.timeout_add = g_timeout_add,
                                          .timeout_remove = g_source_remove,
                                          .input_add = watch_input,
                                          .input_remove = g_source_remove,
                                          .timeout_add_seconds = g_timeout_add_seconds};

static char *saved_as(PurpleXfer *xfer)
{
    char *name = g_path_get_basename(purple_xfer_get_filename(xfer)), *path = g_build_filename(files, name, NULL);

    g_free(name);
    return path;
}

/* What the buttons of Pidgin's question do; each lets go of the transfer, since the question held it. */
static gboolean answer(gpointer data)
{
    PurpleXfer *xfer = data;
    char *path = saved_as(xfer);

    if (decline)
        purple_xfer_request_denied(xfer);
    else
        purple_xfer_request_accepted(xfer, path);
    purple_xfer_unref(xfer);
    g_free(path);
    return FALSE;
}

static void on_offer(PurpleXfer *xfer, gpointer ignored)
{
    (void)ignored;
    tell(json_pack("{ss ss sI ss}", "event", "offer", "name", purple_xfer_get_filename(xfer), "size",
                   (json_int_t)purple_xfer_get_size(xfer), "sender", purple_xfer_get_remote_user(xfer)));
    g_idle_add(answer, xfer);
}

/* The SHA-256 of what was saved, NULL: nothing was; size in bytes. */
static char *digest_of(const char *path, gsize *size)
{
    char *bytes = NULL, *sha256;

    *size = 0;
    if (!g_file_get_contents(path, &bytes, size, NULL))
        return NULL;
    sha256 = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)bytes, *size);
    g_free(bytes);
    return sha256;
}

/* The very end of a transfer: the file is closed by now, which at the signal of its completion it is not. */
static void on_end(PurpleXfer *xfer)
{
    char *path, *sha256;
    gsize size;

    if (purple_xfer_get_type(xfer) == PURPLE_XFER_SEND) {
        tell(json_pack("{ss ss ss sI si}", "event",
                       purple_xfer_get_status(xfer) == PURPLE_XFER_STATUS_DONE ? "sent" : "unsent", "name",
                       purple_xfer_get_filename(xfer), "to", purple_xfer_get_remote_user(xfer), "size",
                       (json_int_t)purple_xfer_get_size(xfer), "status", (int)purple_xfer_get_status(xfer)));
        return;
    }
    path = saved_as(xfer);
    sha256 = digest_of(path, &size);
    tell(json_pack("{ss ss sI ss* si}", "event",
                   purple_xfer_get_status(xfer) == PURPLE_XFER_STATUS_DONE ? "file" : "broken", "name",
                   purple_xfer_get_filename(xfer), "size", (json_int_t)size, "sha256", sha256, "status",
                   (int)purple_xfer_get_status(xfer)));
    g_free(sha256);
    g_free(path);
}

static PurpleXferUiOps transfers = {.destroy = on_end};

static void on_message(PurpleAccount *account, char *sender, char *text, PurpleConversation *talk, int flags)
{
    char *plain = purple_markup_strip_html(text);

    (void)account, (void)talk, (void)flags;
    tell(json_pack("{ss ss ss}", "event", "message", "sender", sender, "body", plain));
    g_free(plain);
}

static void on_signed_on(PurpleConnection *connection, gpointer ignored)
{
    PurpleAccount *account = purple_connection_get_account(connection);

    (void)ignored;
    online = connection;
    tell(json_pack("{ss ss ss}", "event", "ready", "jid", purple_account_get_username(account), "version",
                   purple_core_get_version()));
}

static void on_error(PurpleAccount *account, PurpleConnectionError error, const char *text, gpointer ignored)
{
    (void)account, (void)ignored;
    fprintf(stderr, "connection error %d: %s\n", (int)error, text);
    exit(1);
}

/* What Pidgin's menu does, which however waits until a presence of the other was seen. */
static void send_file(const char *to, const char *path)
{
    PURPLE_PLUGIN_PROTOCOL_INFO(purple_connection_get_prpl(online))->send_file(online, to, path);
}

static gboolean on_stdin(GIOChannel *channel, GIOCondition seen, gpointer ignored)
{
    char *line = NULL, **words;

    (void)seen, (void)ignored;
    if (g_io_channel_read_line(channel, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL) {
        g_main_loop_quit(loop);
        return FALSE;
    }
    words = g_strsplit(g_strstrip(line), " ", 4);
    if (g_strv_length(words) == 4 && strcmp(words[0], "send") == 0)
        send_file(words[1], words[3]);
    g_strfreev(words);
    g_free(line);
    return TRUE;
}

/* A port that is taken for good. */
static int occupied_port(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        perror("a port");
        exit(1);
    }
    return ntohs(address.sin6_port);
}

static void start_core(const char *home)
{
    purple_util_set_user_dir(home);
    purple_debug_set_enabled(getenv("PURPLE_DEBUG") != NULL);
    purple_eventloop_set_ui_ops(&event_loop);
    purple_xfers_set_ui_ops(&transfers);
    if (!purple_core_init("jidpost-test")) {
        fprintf(stderr, "libpurple does not start\n");
        exit(1);
    }
    purple_set_blist(purple_blist_new());
    purple_prefs_set_bool("/purple/network/map_ports", FALSE); /* no UPnP among the neighbours */
    purple_prefs_set_bool("/purple/network/auto_ip", FALSE);
    if (only_proxy) {
        int port = occupied_port();

        purple_prefs_set_bool("/purple/network/ports_range_use", TRUE);
        purple_prefs_set_int("/purple/network/ports_range_start", port);
        purple_prefs_set_int("/purple/network/ports_range_end", port);
    }
}

static void listen_to_it(void)
{
    static int handle;

    purple_signal_connect(purple_connections_get_handle(), "signed-on", &handle, PURPLE_CALLBACK(on_signed_on), NULL);
    purple_signal_connect(purple_accounts_get_handle(), "account-connection-error", &handle, PURPLE_CALLBACK(on_error),
                          NULL);
    purple_signal_connect(purple_xfers_get_handle(), "file-recv-request", &handle, PURPLE_CALLBACK(on_offer), NULL);
    purple_signal_connect(purple_conversations_get_handle(), "received-im-msg", &handle, PURPLE_CALLBACK(on_message),
                          NULL);
}

static void sign_on(char **argv)
{
    PurpleAccount *account = purple_account_new(argv[1], "prpl-jabber");

    purple_account_set_password(account, argv[2]);
    purple_account_set_string(account, "connect_server", argv[3]);
    purple_account_set_int(account, "port", atoi(argv[4]));
    purple_account_set_string(account, "connection_security", "opportunistic_tls"); /* and the server offers none */
    purple_account_set_bool(account, "auth_plain_in_clear", TRUE);
    purple_account_set_string(account, "ft_proxies", proxy);
    purple_accounts_add(account);
    purple_account_set_enabled(account, "jidpost-test", TRUE);
}

static gboolean read_options(int argc, char **argv)
{
    if (argc < 7 || strcmp(argv[5], "--home") != 0)
        return FALSE;
    for (int i = 7; i < argc; i++) {
        if (strcmp(argv[i], "--decline") == 0)
            decline = TRUE;
        else if (strcmp(argv[i], "--only-proxy") == 0)
            only_proxy = TRUE;
        else if (strcmp(argv[i], "--proxy") == 0 && i + 1 < argc)
            proxy = argv[++i];
        else
            return FALSE;
    }
    return TRUE;
}

int main(int argc, char **argv)
{
    GIOChannel *input;

    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: %s JID PASSWORD HOST PORT --home DIR [--decline] [--only-proxy] [--proxy JID]\n",
                argv[0]);
        return 2;
    }
    listener = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    files = g_build_filename(argv[6], "files", NULL);
    g_mkdir_with_parents(files, 0700);
    loop = g_main_loop_new(NULL, FALSE);
    start_core(argv[6]);
    listen_to_it();
    sign_on(argv);
    input = g_io_channel_unix_new(STDIN_FILENO);
    g_io_add_watch(input, (GIOCondition)(G_IO_IN | G_IO_HUP), on_stdin, NULL);
    g_main_loop_run(loop);
    purple_core_quit();
    return 0;
}
