// A recipient and a sender: gloox, the library of many small clients; SI over SOCKS5 bytestreams, and in-band when
// nothing else is offered.
//   gloox_peer JID PASSWORD HOST PORT [PROXY PROXY-HOST PROXY-PORT]
// As a sender it offers its own streamhost, or that proxy, for whose address it does not ask.
// Tells what happens as one JSON object a line: ready, offer, file, broken, sent, unsent. Ends when its standard input
// does; a line there is a command: "send JID METHOD FILE", METHOD: si-s5b or si-ibb.
//
// Its habits, as far as a sender meets them:
// - by itself it announces SI and its profile, but no kind of stream; that the program around it has to do, as this
// one;
// - it goes to the streamhosts one after the other and takes each reply of theirs for what one read gives it;
// - it knows nothing of the end of a file but the end of the stream.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gloox/bytestreamdatahandler.h>
#include <gloox/client.h>
#include <gloox/connectionlistener.h>
#include <gloox/disco.h>
#include <gloox/siprofileft.h>
#include <gloox/siprofilefthandler.h>
#include <gloox/socks5bytestreamserver.h>
#include <jansson.h>
#include <list>
#include <map>
#include <memory>
#include <openssl/evp.h>
#include <poll.h>
#include <sstream>
#include <string>
#include <unistd.h>

using namespace gloox;

static void tell(json_t *event)
{
    json_dumpf(event, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(event);
}

static std::string sha256(const std::string &data)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    std::string text;
    char pair[3];
    EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr);
    for (unsigned i = 0; i < size; i++) {
        snprintf(pair, sizeof pair, "%02x", digest[i]);
        text += pair;
    }
    return text;
}

struct File {
    std::string name, data;
    long size;
    bool outgoing;
    size_t sent;
};

static const size_t PIECE = 65536;

class Recipient : public ConnectionListener, public SIProfileFTHandler, public BytestreamDataHandler
{
  public:
    explicit Recipient(Client &client) : transfers(&client, this)
    {
        client.registerConnectionListener(this);
        client.disco()->setVersion("jidpost-test", GLOOX_VERSION);
        client.disco()->addFeature(XMLNS_BYTESTREAMS);
        client.disco()->addFeature(XMLNS_IBB);
    }

    void have_streamhost(Client &client)
    {
        server.reset(new SOCKS5BytestreamServer(client.logInstance(), 0, "127.0.0.1"));
        if (server->listen() != ConnNoError)
            exit(1);
        transfers.registerSOCKS5BytestreamServer(server.get());
        transfers.addStreamHost(client.jid(), "127.0.0.1", server->localPort());
    }

    void use_proxy(char **where)
    {
        transfers.addStreamHost(JID(where[0]), where[1], atoi(where[2]));
    }

    void send(const std::string &to, const std::string &method, const std::string &path)
    {
        std::ifstream in(path, std::ios::binary);
        std::stringstream all;
        all << in.rdbuf();
        const std::string name = path.substr(path.rfind('/') + 1);
        const std::string sid =
            transfers.requestFT(JID(to), name, long(all.str().size()), "", "sent by gloox", "", "",
                                method == "si-ibb" ? SIProfileFT::FTTypeIBB : SIProfileFT::FTTypeS5B);
        files[sid] = File{name, all.str(), long(all.str().size()), true, 0};
    }

    // A stream has no descriptor to wait for; each is asked in its turn.
    void turn()
    {
        if (server)
            server->recv(0);
        for (auto *stream : std::list<Bytestream *>(streams))
            if (stream->type() == Bytestream::S5B)
                stream->recv(0);
        for (auto *stream : std::list<Bytestream *>(streams))
            if (files[stream->sid()].outgoing && stream->isOpen())
                send_piece(stream);
        for (auto *stream : over)
            transfers.dispose(stream);
        over.clear();
    }

    bool busy() const
    {
        return !streams.empty();
    }

    void onConnect() override
    {
        tell(json_pack("{ss ss}", "event", "ready", "version", GLOOX_VERSION.c_str()));
    }
    void onDisconnect(ConnectionError error) override
    {
        fprintf(stderr, "disconnected: %d\n", int(error));
        exit(1);
    }
    bool onTLSConnect(const CertInfo &) override
    {
        return true;
    }

    void handleFTRequest(const JID &from, const JID &to, const std::string &sid, const std::string &name, long size,
                         const std::string &, const std::string &, const std::string &, const std::string &,
                         int types) override
    {
        tell(json_pack("{ss ss sI}", "event", "offer", "name", name.c_str(), "size", json_int_t(size)));
        files[sid] = File{name, "", size, false, 0};
        transfers.acceptFT(from, sid, types & SIProfileFT::FTTypeS5B ? SIProfileFT::FTTypeS5B : SIProfileFT::FTTypeIBB,
                           to);
    }
    void handleFTRequestError(const IQ &, const std::string &sid) override
    {
        tell(json_pack("{ss ss ss}", "event", "unsent", "sid", sid.c_str(), "name", files[sid].name.c_str()));
    }
    void handleFTBytestream(Bytestream *stream) override
    {
        stream->registerBytestreamDataHandler(this);
        streams.push_back(stream);
        if (!stream->connect())
            fprintf(stderr, "no streamhost of %s answers\n", stream->sid().c_str());
    }
    const std::string handleOOBRequestResult(const JID &, const JID &, const std::string &) override
    {
        return "";
    }

    void handleBytestreamData(Bytestream *stream, const std::string &data) override
    {
        files[stream->sid()].data += data;
    }
    void handleBytestreamError(Bytestream *stream, const IQ &) override
    {
        handleBytestreamClose(stream);
    }
    void handleBytestreamOpen(Bytestream *) override
    {
    }
    void handleBytestreamClose(Bytestream *stream) override
    {
        const File &file = files[stream->sid()];
        if (file.outgoing) {
            end_sending(stream);
            return;
        }
        const bool whole = long(file.data.size()) == file.size;
        tell(json_pack("{ss ss sI ss}", "event", whole ? "file" : "broken", "name", file.name.c_str(), "size",
                       json_int_t(file.data.size()), "sha256", sha256(file.data).c_str()));
        streams.remove(stream);
        over.push_back(stream);
    }

  private:
    void send_piece(Bytestream *stream)
    {
        File &file = files[stream->sid()];
        const std::string piece = file.data.substr(file.sent, PIECE);
        if (piece.empty())
            end_sending(stream);
        else if (stream->send(piece))
            file.sent += piece.size();
    }

    void end_sending(Bytestream *stream)
    {
        const File &file = files[stream->sid()];
        tell(json_pack("{ss ss ss sI}", "event", file.sent == file.data.size() ? "sent" : "unsent", "sid",
                       stream->sid().c_str(), "name", file.name.c_str(), "size", json_int_t(file.sent)));
        streams.remove(stream);
        over.push_back(stream);
    }

    std::unique_ptr<SOCKS5BytestreamServer> server;
    SIProfileFT transfers;
    std::list<Bytestream *> streams, over;
    std::map<std::string, File> files;
};

// false: there will be no more commands.
static bool obey(Recipient &recipient)
{
    static std::string input;
    char block[4096];
    struct pollfd ready = {STDIN_FILENO, POLLIN, 0};
    if (poll(&ready, 1, 0) <= 0)
        return true;
    const ssize_t count = read(STDIN_FILENO, block, sizeof block);
    if (count <= 0)
        return false;
    input.append(block, size_t(count));
    for (size_t end; (end = input.find('\n')) != std::string::npos; input.erase(0, end + 1)) {
        std::istringstream words(input.substr(0, end));
        std::string verb, to, method, path;
        if (words >> verb >> to >> method >> path && verb == "send")
            recipient.send(to, method, path);
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 8) {
        fprintf(stderr, "usage: %s JID PASSWORD HOST PORT [PROXY PROXY-HOST PROXY-PORT]\n", argv[0]);
        return 2;
    }
    Client client(JID(argv[1]), argv[2], atoi(argv[4]));
    client.setServer(argv[3]);
    client.setTls(TLSDisabled);
    client.setCompression(false);
    Recipient recipient(client);
    if (argc == 8)
        recipient.use_proxy(argv + 5);
    else
        recipient.have_streamhost(client);
    if (!client.connect(false))
        return 1;
    while (obey(recipient)) {
        client.recv(recipient.busy() ? 1000 : 20000); // microseconds
        recipient.turn();
    }
}
