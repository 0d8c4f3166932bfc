// A recipient: gloox, the library of many small clients; SI over SOCKS5 bytestreams, and in-band when nothing else is
// offered.
//   gloox_peer JID PASSWORD HOST PORT
// Tells what happens as one JSON object a line: ready, offer, file, broken. Ends when its standard input does.
//
// Its habits, as far as a sender meets them:
// - by itself it announces SI and its profile, but no kind of stream; that the program around it has to do, as this
// one;
// - it goes to the streamhosts one after the other and takes each reply of theirs for what one read gives it;
// - it knows nothing of the end of a file but the end of the stream.
#include <cstdlib>
#include <cstring>
#include <gloox/bytestreamdatahandler.h>
#include <gloox/client.h>
#include <gloox/connectionlistener.h>
#include <gloox/disco.h>
#include <gloox/siprofileft.h>
#include <gloox/siprofilefthandler.h>
#include <jansson.h>
#include <list>
#include <map>
#include <openssl/evp.h>
#include <poll.h>
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
};

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

    // A stream has no descriptor to wait for; each is asked in its turn.
    void turn()
    {
        for (auto *stream : std::list<Bytestream *>(streams))
            if (stream->type() == Bytestream::S5B)
                stream->recv(0);
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
        files[sid] = File{name, "", size};
        transfers.acceptFT(from, sid, types & SIProfileFT::FTTypeS5B ? SIProfileFT::FTTypeS5B : SIProfileFT::FTTypeIBB,
                           to);
    }
    void handleFTRequestError(const IQ &, const std::string &) override
    {
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
        const bool whole = long(file.data.size()) == file.size;
        tell(json_pack("{ss ss sI ss}", "event", whole ? "file" : "broken", "name", file.name.c_str(), "size",
                       json_int_t(file.data.size()), "sha256", sha256(file.data).c_str()));
        streams.remove(stream);
        over.push_back(stream);
    }

  private:
    SIProfileFT transfers;
    std::list<Bytestream *> streams, over;
    std::map<std::string, File> files;
};

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s JID PASSWORD HOST PORT\n", argv[0]);
        return 2;
    }
    Client client(JID(argv[1]), argv[2], atoi(argv[4]));
    client.setServer(argv[3]);
    client.setTls(TLSDisabled);
    client.setCompression(false);
    Recipient recipient(client);
    if (!client.connect(false))
        return 1;
    for (;;) {
        struct pollfd input = {STDIN_FILENO, POLLIN, 0};
        char ignored[64];
        if (poll(&input, 1, 0) > 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
            return 0;
        client.recv(recipient.busy() ? 1000 : 20000); // microseconds
        recipient.turn();
    }
}
